//! The data node: answers time-series queries over HTTP from data-aware caches over SQLite.
//!
//! The way of a request: `api` (parse) → `query` (plan) → `cache` (what is known) → `store`
//! (what is missing) → `query` (merge, render) → `api` (envelope).

pub mod api;
pub mod cache;
pub mod cli;
pub mod config;
pub mod group;
pub mod hand_over;
mod lock;
pub mod memory;
pub mod model;
mod node;
mod open;
pub mod query;
pub mod replication;
pub mod sample;
mod snapshots;
pub mod store;
pub mod subjects;

pub use lock::{DatabaseLock, LockError};
pub use node::{Node, StartError};
pub use snapshots::Snapshots;
