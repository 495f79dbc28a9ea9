//! What every process of the system shares: configuration files, listeners with connection
//! limits and strict framing, drain, logs, the formats of metrics.

pub mod config;
pub mod exit;
pub mod exposition;
pub mod framing;
pub mod limits;
pub mod logs;
mod refusal;
pub mod server;
pub mod service_manager;
pub mod shutdown;
mod supervise;

pub use refusal::envelope;
pub use supervise::{BackOff, spawn_supervised, spawn_supervised_local, supervise};
