//! How long and how much.
use std::time::Duration;

/// Limits of one worker's upstream connections.
///
/// Times are kept by a ticker, not by a timer for each request: one passes between its value and [`TICK`](super::TICK)
/// later.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest wait for a connection. Default 1 s: a node in the same network accepts within milliseconds.
    pub connect_timeout: Duration,
    /// Longest wait for the head of the answer, from the last piece of the request that the upstream took. Time spent
    /// waiting for the client's body does not count: whoever serves the client limits that. Default 30 s.
    pub head_timeout: Duration,
    /// Longest pause within the body of an answer, as long as the client takes what there is. Default 30 s.
    pub body_timeout: Duration,
    /// How long an unused connection is kept. Default 45 s, shorter than servers usually keep it.
    pub idle_timeout: Duration,
    /// Unused connections kept for an address. Default 64.
    pub max_idle: usize,
    /// Connections to an address, used and unused. Default 1024: beyond that an upstream is not slow but stuck.
    pub max_open: usize,
    /// Longest head of an answer, in bytes. Default 32 KiB.
    pub max_head: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(45),
            max_idle: 64,
            max_open: 1024,
            max_head: 32 * 1024,
        }
    }
}
