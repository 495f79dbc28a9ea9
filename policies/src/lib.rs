//! The decisions behind the gateway and the nodes, as pure values: no I/O, no HTTP, no clock.
//!
//! Whatever depends on time takes `now` as an argument, so every decision can be tested exactly
//! and reused wherever the same question is asked.

pub mod breaker;
pub mod budget;
pub mod coverage;
pub mod quota;
pub mod ring;
