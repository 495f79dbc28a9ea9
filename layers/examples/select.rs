//! Spreads keys over three members; one falls ill, then another one leaves.
//!
//!     cargo run -p kamaitachi-layers --example select
use http::{HeaderName, Request, Response};
use kamaitachi_layers::{
    key::RoutingKey,
    select::{Member, Pool, Select},
};
use tower::{BoxError, Service, ServiceExt as _, service_fn};

const X_NODE: HeaderName = HeaderName::from_static("x-node");

async fn upstream(_: Request<()>) -> Result<Response<()>, BoxError> {
    Ok(Response::new(()))
}

async fn show<S>(select: &S, when: &str) -> Result<(), BoxError>
where
    S: Service<Request<()>, Response = Response<()>, Error = BoxError> + Clone,
{
    for key in ["33:00000009", "33:000001", "33:100000"] {
        let mut request = Request::new(());
        request.extensions_mut().insert(RoutingKey::from(key));
        let response = select.clone().oneshot(request).await?;
        println!("{when}: {key} goes to {:?}", response.headers()[X_NODE]);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let nodes = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];
    let member = |name| Member::new(name, service_fn(upstream));
    let pool = Pool::default();
    pool.set(nodes.into_iter().map(member).collect::<Result<Vec<_>, _>>()?);
    let select = Select::new(pool.clone()).naming(X_NODE);

    show(&select, "all well").await?;
    for member in &*pool.members() {
        member.health().set(&**member.name() != nodes[1]);
    }
    show(&select, "8082 is ill").await?;
    pool.set([member(nodes[0])?, member(nodes[1])?]);
    show(&select, "8083 has left").await
}
