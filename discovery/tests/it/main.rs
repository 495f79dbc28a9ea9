//! Registration and discovery through a real etcd.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod garbage;
mod register;
mod secured;
mod support;
