//! The HTTP API of a node: routes, request rules, envelopes.

pub mod body;
pub mod failure;
pub mod fields;
pub mod json;
pub mod request;
pub mod respond;
pub mod routes;
