//! The gateway and its nodes as processes, and what harms them: death, partitions, clients that do
//! not behave. `docs/failures.md` names each of these tests.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test, by line and cause")]

mod clients;
mod cluster;
mod etcd;
mod gateways;
mod network;
mod partitions;
#[path = "../../../node/tests/faults/rig/mod.rs"]
mod rig;
mod starved;
mod table;
mod weak;
