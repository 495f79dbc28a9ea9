//! The gateway over real sockets, in front of scripted nodes.

mod harness;
mod routing;
