//! Derives the key that a request is routed by.
mod routing_key;

pub use routing_key::RoutingKey;
