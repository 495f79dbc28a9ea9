//! What every test of faults needs: processes, a client, and ways to do them harm.

#![allow(dead_code, unused_imports, reason = "test programs share it, and none uses all of it")]

pub(crate) mod http;
pub(crate) mod inject;
pub(crate) mod process;
pub(crate) mod slow;

pub(crate) use self::{
    http::Answer,
    process::{Process, until},
};
