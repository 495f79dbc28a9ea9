//! What every process of the system shares: configuration files, listeners with connection
//! limits and strict framing, drain, logs.

pub mod config;
