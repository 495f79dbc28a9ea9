//! The gateway over real sockets, in front of scripted nodes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bodies;
mod cluster;
#[cfg(feature = "demo")]
mod demo;
mod discovery;
mod drain;
mod exhausted;
mod failover;
#[cfg(feature = "demo")]
mod faults;
mod forwarding;
mod harness;
mod limits;
#[cfg(feature = "demo")]
mod locality;
mod own;
mod process;
#[cfg(feature = "demo")]
mod readme;
mod resilience;
mod routing;
mod scatter;
#[cfg(feature = "demo")]
mod script;
mod secured;
mod stack;
