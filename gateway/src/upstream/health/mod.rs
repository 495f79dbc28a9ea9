//! Whether a node is fit to be asked: from what became of requests, and from probes.
//!
//! Both have a say, and a node is up when neither is against it:
//!
//! - **Requests** (passive): so many connection failures and time-outs in a row, or so many requests in a row that
//!   another node answered in its place, and the node is left alone for a back-off time, which doubles each time it is met
//!   so again: an [outlier](kamaitachi_policies::outlier). Then, and after a probe where there are any, it gets requests
//!   like before; the next failure is enough to take it out again, the first answer makes it as good as new. A node that
//!   says that it is starting or on its way out is left alone at once.
//! - **Probes** (active, [`Prober`]): so many failures in a row, or one plain "not ready" (503), and the node is down until so
//!   many probes in a row succeed. Those also end a first back-off before its time, and no other until the node has
//!   answered a request.
//!
//! What a node answers to requests is not looked at here: 5xx are the circuit breaker's.
mod late;
mod prober;
mod state;

pub use late::LatePlaces;
pub use prober::{Probe, Prober};
pub use state::{Ejected, Health, HealthConfig};
