//! The HTTP API of a node: routes, request rules, envelopes.

pub mod failure;
pub mod fields;
pub mod json;
pub mod respond;
