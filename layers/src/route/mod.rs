//! Picks the service for a request by its path and method.
//!
//! The table is made once and shared; each route holds a service of one type, usually a whole stack with its types
//! erased. A route's pattern is made of static segments, `{name}` (one segment) and, at its end, `/*` (the prefix
//! itself and everything beneath it). Whatever the order of insertion, patterns without `/*` win over those with it,
//! static segments over `{name}`, longer prefixes over shorter ones. Every route answers with and without a trailing slash. The path decides first, then the method: a
//! known path with another method is [`MethodNotAllowed`](crate::rejection::Rejection::MethodNotAllowed) with all that are allowed, an unknown
//! one [`NoRoute`](crate::rejection::Rejection::NoRoute).
//!
//! **Matched as it is forwarded.** The path is compared byte by byte, percent-encoding and all, and is not touched:
//! nobody behind us can read another path than the one that was routed, as long as they decode at most once. What
//! could still be read in two ways is refused as [`BadTarget`](crate::rejection::Rejection::BadTarget) before the table is asked:
//!
//! - dot segments, plain or as `%2e`, also where the separator next to them is `%2f`;
//! - backslashes, plain or as `%5c`, which some servers take for slashes;
//! - encoded control characters, `%00` among them, and `%` without two hexadecimal digits.
//!
//! An encoded slash (`a%2Fb`) that makes no dot segment is data and stays, and so do empty segments (`//`): they are
//! never merged, so `//data` is not `/data`.
//!
//! It is always ready; the service that was chosen is cloned, and readiness is awaited on that clone.
//!
//! ```
//! use http::Request;
//! use kamaitachi_layers::route::{Methods, Route, Table};
//! use tower::{BoxError, ServiceExt, service_fn, util::BoxCloneSyncService};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let named = |name: &'static str| {
//!     BoxCloneSyncService::new(service_fn(move |_: Request<()>| async move { Ok::<_, BoxError>(name) }))
//! };
//! let table = Table::builder()
//!     .route("/data/v1/save", Methods::POST, named("save"))
//!     .route("/data/*", Methods::ANY, named("everything else"))
//!     .build()?;
//! let route = Route::new(table);
//!
//! let save = Request::post("/data/v1/save/?id=1").body(())?;
//! assert_eq!(route.clone().oneshot(save).await?, "save");
//! let other = Request::get("/data/v1/get/33:000001").body(())?;
//! assert_eq!(route.clone().oneshot(other).await?, "everything else");
//! let refused = route.oneshot(Request::get("/data/v1/save").body(())?).await.unwrap_err();
//! assert!(refused.to_string().starts_with("method not allowed"));
//! # Ok(()) }
//! ```
mod methods;
mod service;
mod table;
mod target;

pub use methods::{InvalidMethod, Methods};
pub use service::{ResponseFuture, Route};
pub use table::{Builder, InvalidRoute, Table};
