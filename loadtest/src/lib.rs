//! The load harness: a black box that drives the data API over HTTP and reports what it saw.
//!
//! From top to bottom: [`args`] says what to do, [`workload`] makes the requests, [`schedule`]
//! says when each is due, [`client`] sends them and [`record`] keeps what came back; [`oracle`]
//! computes the right answers independently, [`stats`] asks the cluster for its hit rate, and
//! [`report`] shows it all. It uses no other crate of this workspace, so it can't share a bug
//! with what it measures.

pub mod answers;
pub mod args;
pub mod client;
pub mod oracle;
pub mod progress;
pub mod record;
pub mod report;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod stats;
pub mod stop;
pub mod timeline;
pub mod workload;
