//! The node as a process, and what harms processes: disks that fail, limits that are reached,
//! clients and neighbours that do not behave. `docs/failures.md` names each of these tests.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test, by line and cause")]

mod clients;
mod clock;
mod damage;
mod descriptors;
mod disk;
mod group;
mod herd;
mod memory;
mod neighbours;
#[path = "../../../gateway/tests/faults/network.rs"]
mod network;
mod node;
mod rig;
mod snapshots;
