//! What both scenarios stand on.

pub(crate) mod chaos;
pub(crate) mod seeds;
pub(crate) mod trace;
pub(crate) mod wire;
