//! Servers on real sockets: framing, slow clients, limits, drain, both protocols.

mod drain;
mod framing;
mod http2;
mod limits;
mod requests;
mod slow;
mod support;
