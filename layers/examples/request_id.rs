//! Good ids are kept, bad ones are replaced, and every response has one.
//!
//!     cargo run -p kamaitachi-layers --example request_id
use http::{Request, Response};
use kamaitachi_layers::request_id::{RequestIdLayer, X_REQUEST_ID};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let upstream = service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(())) });
    let stack = RequestIdLayer::new().layer(upstream);

    for id in ["order-66", "two words", ""] {
        let request = Request::builder().header(X_REQUEST_ID, id).body(())?;
        let response = stack.clone().oneshot(request).await?;
        println!("sent {id:?}, answered {:?}", response.headers()[X_REQUEST_ID]);
    }
    let response = stack.oneshot(Request::new(())).await?;
    println!("sent none, answered {:?}", response.headers()[X_REQUEST_ID]);
    Ok(())
}
