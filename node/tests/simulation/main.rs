//! The cluster in a simulated network: every host's clock, every message and every fault follow from a seed.
//!
//! - `group`: peers of a cache group with their real queues, versions and gRPC, and clients that keep account;
//! - `membership`: nodes that register in a model of etcd, gateways that follow it with the real view, ring and breakers;
//! - `replication`: a master and slaves with the real feed, follower and store, writers and readers that keep account.
//!
//! Each scenario runs for many seeds. One that fails says which, and how to see it again:
//! `KAMAITACHI_SEED=17 cargo test -p kamaitachi-node --test simulation NAME`. With `KAMAITACHI_SEEDS=5000` there are more.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test, by line and cause")]

mod group;
mod membership;
mod replication;
mod rig;
