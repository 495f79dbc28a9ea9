//! Strips a prefix from some paths, and replaces one in others.
//!
//!     cargo run -p kamaitachi-layers --example rewrite
use http::Request;
use kamaitachi_layers::rewrite::RewriteLayer;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let upstream =
        service_fn(
            |request: Request<()>| async move { Ok::<_, BoxError>(request.uri().to_string()) },
        );
    let strip = RewriteLayer::strip("/data")?.layer(upstream);
    let replace = RewriteLayer::replace("/v1", "/api/v2")?.layer(upstream);

    for path in ["/data/items?sort=%2Bname", "/data", "/database"] {
        let seen = strip.clone().oneshot(Request::get(path).body(())?).await?;
        println!("strip /data: {path} becomes {seen}");
    }
    for path in ["/v1/items/a%2Fb", "/v1?all", "/v10/items"] {
        let seen = replace.clone().oneshot(Request::get(path).body(())?).await?;
        println!("replace /v1 by /api/v2: {path} becomes {seen}");
    }
    Ok(())
}
