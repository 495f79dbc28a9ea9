//! The node as its users meet it: over real sockets, on real SQLite files.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test, by line and cause")]

mod cli;
mod data_api;
mod group;
mod hand_over;
mod ingest;
mod lifecycle;
mod numbers;
mod parts;
mod protocol;
mod records;
mod registration;
mod replication;
mod revisions;
mod selection;
mod snapshots;
mod support;
mod truth;
