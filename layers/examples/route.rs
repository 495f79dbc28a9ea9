//! Routes by path and method, and shows what is refused.
//!
//!     cargo run -p kamaitachi-layers --example route
use http::Request;
use kamaitachi_layers::route::{Methods, Route, Table};
use tower::{BoxError, ServiceExt as _, service_fn, util::BoxCloneSyncService};

/// What stands behind a route: here, its name.
fn named(name: &'static str) -> BoxCloneSyncService<Request<()>, &'static str, BoxError> {
    BoxCloneSyncService::new(service_fn(move |_| async move { Ok(name) }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let table = Table::builder()
        .route("/health", Methods::GET, named("health"))
        .route("/items/{id}", Methods::GET, named("read an item"))
        .route("/items/{id}", Methods::PUT | Methods::DELETE, named("change an item"))
        .route("/items/*", Methods::ANY, named("anything beneath items"));
    let route = Route::new(table.build()?);

    for (method, path) in [
        ("GET", "/health/"),
        ("GET", "/items/7"),
        ("DELETE", "/items/7"),
        ("POST", "/items/7"),
        ("POST", "/items/7/parts"),
        ("GET", "/items/a%2Fb"),
        ("GET", "/items/%2e%2e/health"),
        ("GET", "/other"),
    ] {
        let request = Request::builder().method(method).uri(path).body(())?;
        match route.clone().oneshot(request).await {
            Ok(name) => println!("{method} {path}: {name}"),
            Err(refused) => println!("{method} {path}: refused, {refused}"),
        }
    }
    Ok(())
}
