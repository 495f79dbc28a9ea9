//! Asks another upstream when the first one's answer is late, and gives the answer that comes first.
//!
//! An upstream that hangs still accepts connections and requests: nothing fails, so nothing is retried, and every client
//! waits until its time is over. [`Hedge`] waits only until an answer is [late](kamaitachi_policies::lateness), by what
//! answers took lately. Then a copy of the request goes to the next member of the pool (put a
//! [`Select`](crate::select::Select) inside), and whoever answers first wins; the others are dropped, which closes their
//! connections. Only what may be carried out twice can be hedged, so put it around reads alone.
//!
//! What it learns of is how long the one who answered needed from when that one was asked, never its own wait before that.
//!
//! It asks twice, so it is bounded by the [`RetryBudget`](kamaitachi_policies::budget::RetryBudget) it shares with retries:
//! when everything is slow, little is asked twice. Without budget, without a second healthy member, or when the body is
//! streaming, it waits like everybody else; nothing is ever given up for being late. Put it inside of the retry layer: an
//! upstream that fails before it is late is the retry's business, and one that fails after that is made up for here.
//!
//! It costs a request next to nothing. There is no timer for it, only a place on a coarse [`Ticker`] that somebody has to
//! drive; and it is not copied until it is late, when the service that holds it is asked for a copy: see [`offer`].
//!
//! Readiness is the inner service's. Dropping the future drops all tries.
//!
//! ```
//! use std::{future::pending, time::Duration};
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use kamaitachi_layers::{
//!     body::Body, hedge::{HedgeLayer, Ticker}, key::RoutingKey, retry::SharedBudget,
//!     select::{Member, Pool, Select},
//! };
//! use kamaitachi_policies::{budget::BudgetConfig, lateness::LatenessConfig};
//! use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! type Req = Request<Body<Empty<Bytes>>>;
//! let pool = Pool::default();
//! pool.set(["localhost:8081", "localhost:8082"].map(|name| {
//!     Member::new(name, service_fn(move |request: Req| async move {
//!         if name == "localhost:8081" {
//!             return Ok::<_, BoxError>(Response::new(name));
//!         }
//!         // As a client does while it waits; this one waits for ever.
//!         let copy = || request.body().bytes().cloned().map(Request::new);
//!         kamaitachi_layers::hedge::offering(copy, pending()).await
//!     })).expect("a name that fits into a header")
//! }));
//!
//! let ticker = Ticker::new();
//! tokio::spawn(ticker.drive());
//! let budget = SharedBudget::new(BudgetConfig::default());
//! let late = Duration::from_millis(50);
//! let hedge = HedgeLayer::new(ticker, budget, LatenessConfig::new(late, late)?);
//! let mut request = Request::new(Body::empty());
//! // This key belongs to 8082.
//! request.extensions_mut().insert(RoutingKey::from("33:000001"));
//! let response = hedge.layer(Select::new(pool)).oneshot(request).await?;
//! assert_eq!(response.into_body(), "localhost:8081");
//! # Ok(()) }
//! ```
mod future;
mod layer;
mod offer;
#[cfg(test)]
mod tests;
mod ticker;

pub use future::ResponseFuture;
pub use layer::{Event, Hedge, HedgeLayer};
pub(crate) use offer::tell;
pub use offer::{is_wanted, offer, offering};
pub use ticker::{TICK, Ticker};
