//! The HTTP API of a node: routes, request rules, envelopes.
//!
//! The way of a request is `service`, top to bottom; what the workers of a node share is `app`;
//! what is answered to what is in `handlers`, one function for each line of the table in `routes`.

mod app;
pub mod body;
pub mod failure;
pub mod fields;
mod handlers;
pub mod json;
pub mod metrics;
mod openapi;
pub mod params;
pub mod records;
pub mod request;
pub mod respond;
pub mod routes;
mod service;
mod state;

pub use app::App;
pub use openapi::OPENAPI;
pub use service::Service;
pub use state::{Core, State};
