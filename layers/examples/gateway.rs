//! A whole gateway, composed by hand: `/data/*` goes to the nodes, by the subject in the body.
//!
//!     cargo run -p kamaitachi-layers --example gateway -- 127.0.0.1:9000 127.0.0.1:8081 127.0.0.1:8082
use http::{HeaderName, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kamaitachi_layers::{body::Body, circuit_breaker, client::PeerAddr, forward, key, rate_limit};
use kamaitachi_layers::{rejection::Rejection, request_id, retry, rewrite, route, select};
use kamaitachi_policies::{breaker::BreakerConfig, budget::BudgetConfig, quota::Quota};
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _, retry::RetryLayer, service_fn};

pub(crate) type Gateway =
    BoxCloneSyncService<Request<Incoming>, Response<Body<Incoming>>, BoxError>;

pub(crate) fn gateway(nodes: Vec<String>) -> Result<Gateway, BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body<Incoming>>();
    let pool = select::Pool::default();
    pool.set(nodes.into_iter().map(|node| {
        let (name, client) = (node.clone(), client.clone());
        let send = service_fn(move |mut request: Request<Body<Incoming>>| {
            let target = format!("http://{node}{}", request.uri()).parse();
            let sent = target.map(|uri| *request.uri_mut() = uri).map(|()| client.request(request));
            async move { Ok::<_, BoxError>(sent?.await?) }
        });
        let circuit = circuit_breaker::Circuit::new(&*name, BreakerConfig::default());
        let breaker = circuit_breaker::CircuitBreakerLayer::new(circuit);
        let endpoint = ServiceBuilder::new().layer(breaker).service(send);
        select::Member::new(&name, endpoint).expect("an address fits into a header")
    }));
    let could_not_connect = |error: &(dyn std::error::Error + 'static)| {
        error.source().and_then(|e| e.downcast_ref()).is_some_and(legacy::Error::is_connect)
    };
    let retries = retry::NextNode::new(2, retry::SharedBudget::new(BudgetConfig::default()));
    let sources = key::KeySources::parse(["body:subjects", "body:topic", "client-ip"])?;
    let data = ServiceBuilder::new()
        .layer(rate_limit::RateLimitLayer::new("data", Quota::new(1_000, 1_500)?))
        .layer(rewrite::RewriteLayer::strip("/data")?)
        .layer(key::KeyLayer::new(sources))
        .layer(RetryLayer::new(retries.cloning(could_not_connect)))
        .service(select::Select::new(pool).naming(HeaderName::from_static("x-node")));
    let data = BoxCloneSyncService::new(data);
    let table = route::Table::builder().route("/data/*", route::Methods::ANY, data).build()?;
    let whole = ServiceBuilder::new()
        .layer(request_id::RequestIdLayer::new())
        .then(|result| async { Ok::<_, BoxError>(answer(result)) })
        .layer(forward::ForwardLayer::new())
        .service(route::Route::new(table));
    Ok(BoxCloneSyncService::new(whole))
}

fn answer(result: Result<Response<Incoming>, BoxError>) -> Response<Body<Incoming>> {
    result.map(|response| response.map(Body::streaming)).unwrap_or_else(|error| {
        let status = Rejection::find(&*error).map_or(StatusCode::BAD_GATEWAY, Rejection::status);
        let body = Body::buffered(format!("{error}\n").into());
        Response::builder().status(status).body(body).expect("a status is all it takes")
    })
}

pub(crate) async fn serve(listener: TcpListener, gateway: Gateway) -> Result<(), BoxError> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let (gateway, peer) = (gateway.clone(), PeerAddr::new(peer));
        let service = hyper::service::service_fn(move |mut request| {
            request.extensions_mut().insert(peer.clone());
            gateway.clone().oneshot(request)
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("expected: the address to listen on, then the nodes")?;
    serve(TcpListener::bind(listen).await?, gateway(arguments.collect())?).await
}
