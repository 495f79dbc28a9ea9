//! The cache group: one named cache held together by peers.

pub mod proto;
