//! The edge proxy: from a configuration file to layer stacks, served on one runtime a core.
//!
//! Read it in this order: [`cli`] (what the process is asked for), [`config`] (what may be configured), [`gateway`] (what
//! workers share, start and end), [`worker`] (what each worker has of its own), [`stack`] (**the** place where the
//! layers are composed), [`upstream`] (the connections to the nodes), [`respond`] (errors become answers).

pub mod about;
pub mod aggregate;
pub mod blame;
pub mod cap;
pub mod cli;
pub mod cluster;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod discovery;
pub mod edge;
pub mod fresh;
pub mod gateway;
pub mod hedge;
pub mod joins;
pub mod limit;
pub mod metrics;
pub mod monitor;
pub mod order;
pub mod own;
pub mod private;
pub mod reason;
pub mod respond;
pub mod scatter;
pub mod stack;
pub mod upstream;
pub mod worker;
