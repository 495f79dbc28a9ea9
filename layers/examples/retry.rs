//! One of two nodes is dead: what it did not take goes to the other, as long as the budget lasts.
//!
//!     cargo run -p kamaitachi-layers --example retry
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Empty;
use kamaitachi_layers::{
    body::Body,
    key::RoutingKey,
    retry::{NextNode, SharedBudget, hand_back},
    select::{Member, Pool, Select},
};
use kamaitachi_policies::budget::BudgetConfig;
use tower::{BoxError, Layer as _, ServiceExt as _, retry::RetryLayer, service_fn};

type Req = Request<Body<Empty<Bytes>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let node = |is_up: bool| {
        service_fn(move |request: Req| async move {
            // A client that cannot connect hands the request back: nobody has taken it.
            if is_up { Ok(Response::new(())) } else { Err(hand_back(request, "cannot connect")) }
        })
    };
    let pool = Pool::default();
    pool.set([
        Member::new("localhost:8081", node(true))?,
        Member::new("localhost:8082", node(false))?,
    ]);
    // A third of the requests may be retried, and no reserve.
    let budget = SharedBudget::new(BudgetConfig::new(33, 0)?);
    let select = Select::new(pool).naming(HeaderName::from_static("x-node"));
    let stack = RetryLayer::new(NextNode::new(2, budget.clone())).layer(select);

    for number in 1..=10 {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(RoutingKey::from("33:000001"));
        match stack.clone().oneshot(request).await {
            Ok(response) => println!("{number}: answered by {:?}", response.headers()["x-node"]),
            Err(error) => println!("{number}: {error}, {} retries affordable", budget.balance()),
        }
    }
    Ok(())
}
