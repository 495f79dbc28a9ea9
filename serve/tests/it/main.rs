//! Servers on real sockets: framing, slow clients, limits, drain, both protocols.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod drain;
mod framing;
mod http2;
mod http2_limits;
mod http2_slow;
mod limits;
mod oracle;
mod requests;
mod slow;
mod support;
