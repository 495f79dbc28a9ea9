//! One of two nodes hangs, as a stopped process does: its requests are answered by the other one, a little later.
//!
//!     cargo run -p kamaitachi-layers --example hedge
use std::{future::pending, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Empty;
use kamaitachi_layers::{
    body::Body,
    hedge::{HedgeLayer, Ticker, offering},
    key::RoutingKey,
    retry::SharedBudget,
    select::{Member, Pool, Select},
};
use kamaitachi_policies::{budget::BudgetConfig, lateness::LatenessConfig};
use tokio::time::Instant;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

type Req = Request<Body<Empty<Bytes>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let node = |hangs: bool| {
        service_fn(move |request: Req| async move {
            if !hangs {
                return Ok::<_, BoxError>(Response::new(()));
            }
            // While a client waits it offers a copy of the request, which is only made when somebody wants one.
            let copy = || request.body().bytes().cloned().map(Request::new);
            offering(copy, pending()).await
        })
    };
    let pool = Pool::default();
    pool.set([
        Member::new("localhost:8081", node(false))?,
        Member::new("localhost:8082", node(true))?,
    ]);

    let ticker = Ticker::new();
    tokio::spawn(ticker.drive());
    let budget = SharedBudget::new(BudgetConfig::default());
    // Late after 50 ms at least; at first, while it knows of no answers, after a second.
    let lateness = LatenessConfig::new(Duration::from_millis(50), Duration::from_secs(1))?;
    let select = Select::new(pool).naming(HeaderName::from_static("x-node"));
    let stack = HedgeLayer::new(ticker, budget, lateness)
        .observing(|event| println!("{event:?}"))
        .layer(select);

    // The first key belongs to the node that answers, the second to the one that hangs.
    for key in std::iter::repeat_n("33:00000009", 200).chain(["33:000001"; 3]) {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(RoutingKey::from(key));
        let began = Instant::now();
        let response = stack.clone().oneshot(request).await?;
        if key == "33:000001" {
            let node = &response.headers()["x-node"];
            println!("{key}: answered by {node:?} after {} ms", began.elapsed().as_millis());
        }
    }
    Ok(())
}
