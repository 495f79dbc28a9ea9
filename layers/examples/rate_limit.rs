//! Two requests a second for each client, five for all, and the operator goes free.
//!
//!     cargo run -p kamaitachi-layers --example rate_limit
use std::{num::NonZeroUsize, sync::Arc};

use http::Request;
use kamaitachi_layers::{
    client::PeerAddr,
    rate_limit::{Caller, RateLimitLayer},
};
use kamaitachi_policies::quota::{KeyedBuckets, Quota};
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    const CLIENTS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
    let per_client = Arc::new(KeyedBuckets::new(Quota::new(2, 2)?, CLIENTS));
    let stack = RateLimitLayer::new("everybody together", Quota::new(5, 5)?)
        .keyed("each client", per_client, Caller::by_ip)
        .exempting(|head| head.headers.get("x-operator").is_some_and(|key| key == "secret"))
        .layer(service_fn(|_: Request<()>| async { Ok::<_, BoxError>("served") }));

    for client in ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"] {
        for _ in 0..3 {
            let mut request = Request::new(());
            request.extensions_mut().insert(PeerAddr::new(client.parse()?));
            match stack.clone().oneshot(request).await {
                Ok(served) => println!("{client}: {served}"),
                Err(refused) => println!("{client}: {refused}"),
            }
        }
    }
    let operator = Request::builder().header("x-operator", "secret").body(())?;
    println!("the operator: {}", stack.oneshot(operator).await?);
    Ok(())
}
