//! Rehearsals: a whole cluster of processes under a steady load, while parts of it die, stop, join and leave. They take a
//! minute each and print tables; `docs/failures.md` and `docs/locality.md` show some.
//!
//!     cargo test -p kamaitachi-gateway --test rehearsal -- --ignored --nocapture --test-threads 1
//!
//! `KAMAITACHI_PROGRAMS` is the folder of the programs (else that of this build), `KAMAITACHI_RATE` how many requests are
//! sent each second (300), `KAMAITACHI_TTL` the seconds that a registration outlives its node (10).

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test, by line and cause")]

mod clients;
mod deaths;
mod harness;
mod hits;
#[path = "../../../node/tests/faults/rig/mod.rs"]
mod rig;
mod stage;
mod stops;
mod table;
