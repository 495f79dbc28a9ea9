//! Picks the upstream for a request: the member of a pool that owns its key on a consistent-hash ring.
//!
//! A [`Pool`] is a shared handle on an immutable list of members; [`Pool::set`] swaps the list whole, and requests
//! under way finish with the one they began with. [`Select`] is the service at the end of a stack. It goes along the ring from the
//! request's [`RoutingKey`](crate::key::RoutingKey) and takes the first member that is healthy and was not tried yet;
//! if none is, the first that was not tried (a health check may be wrong, and a refusal would be certain). A request
//! without a key goes by the empty one, so all of them to one member. An empty pool is
//! [`Rejection::NoUpstream`](crate::rejection::Rejection::NoUpstream).
//!
//! A member that is new may be given its keys bit by bit ([`Member::with_ramp`]): those that it is not given yet stay with
//! the next one of the ring.
//!
//! An error comes back as [`Failed`], which names the member. With [`Select::naming`], responses name it in a header.
//!
//! It is always ready; the member's service is cloned, and readiness is awaited on that clone. Looking up takes no
//! lock and allocates nothing.
//!
//! ```
//! use http::Request;
//! use kamaitachi_layers::{key::RoutingKey, select::{Member, Pool, Select}};
//! use tower::{BoxError, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let pool = Pool::default();
//! pool.set(["localhost:8081", "localhost:8082"].into_iter().map(|name| {
//!     Member::new(name, service_fn(move |_: Request<()>| async move {
//!         Ok::<_, BoxError>(http::Response::new(name))
//!     })).expect("a name that fits into a header")
//! }));
//! let select = Select::new(pool).naming(http::HeaderName::from_static("x-node"));
//!
//! let mut request = Request::new(());
//! request.extensions_mut().insert(RoutingKey::from("33:000001"));
//! let response = select.oneshot(request).await?;
//! assert_eq!(response.headers()["x-node"], "localhost:8082");
//! # Ok(()) }
//! ```
mod failed;
mod member;
mod pool;
mod ramp;
mod service;
#[cfg(test)]
mod tests;

pub use failed::Failed;
pub use member::{Health, InvalidMember, Member};
pub use pool::{Members, Pool};
pub use ramp::Ramp;
pub use service::{ResponseFuture, Select};
