//! The layers together: what their order means, and that nothing stays behind whatever the innermost service does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use kamaitachi_layers::{
    body::Body,
    circuit_breaker::{Circuit, CircuitBreakerLayer},
    forward::ForwardLayer,
    key::{KeyLayer, KeySources},
    rate_limit::RateLimitLayer,
    rejection::Rejection,
    retry::{NextNode, SharedBudget},
    rewrite::RewriteLayer,
    route::{Methods, Route, Table},
    select::{Member, Pool, Select},
};
use kamaitachi_policies::{
    breaker::{BreakerConfig, BreakerSettings, State},
    budget::BudgetConfig,
    quota::Quota,
    ring::LoadBound,
};
use proptest::prelude::*;
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{
    BoxError, ServiceBuilder, ServiceExt as _, limit::GlobalConcurrencyLimitLayer,
    retry::RetryLayer, service_fn, util::BoxCloneSyncService,
};

type Incoming = Request<Full<Bytes>>;
type Outgoing = Request<Body<Full<Bytes>>>;

const NODES: [&str; 2] = ["localhost:8081", "localhost:8082"];

/// A stack of every layer, and all that could stay behind in it.
struct Gateway {
    service: BoxCloneSyncService<Incoming, Response<()>, BoxError>,
    pool: Pool<BoxCloneSyncService<Outgoing, Response<()>, BoxError>>,
    circuits: Vec<Circuit>,
    places: Vec<Arc<Semaphore>>,
    called: Arc<AtomicU32>,
}

/// How many requests a node takes at once.
const PLACES: usize = 2;

fn gateway(quota: Quota) -> Gateway {
    let settings =
        BreakerSettings { half_open_requests: 2, close_after: 2, ..BreakerSettings::default() };
    let circuits: Vec<_> =
        NODES.map(|node| Circuit::new(node, BreakerConfig::new(settings).unwrap())).into();
    let places: Vec<_> = NODES.map(|_| Arc::new(Semaphore::new(PLACES))).into();
    let called = Arc::new(AtomicU32::new(0));
    let pool = Pool::default();
    pool.set(NODES.iter().zip(&circuits).zip(&places).map(|((node, circuit), places)| {
        let called = Arc::clone(&called);
        let node_service = service_fn(move |request: Outgoing| {
            called.fetch_add(1, Ordering::Relaxed);
            misbehave(request)
        });
        let endpoint = ServiceBuilder::new()
            .layer(CircuitBreakerLayer::new(circuit.clone()))
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(places)))
            .service(node_service);
        Member::new(node, BoxCloneSyncService::new(endpoint)).unwrap()
    }));
    let select = Select::new(pool.clone())
        .naming(HeaderName::from_static("x-node"))
        .bounded(LoadBound::percent(125).unwrap());
    let budget = SharedBudget::new(BudgetConfig::default());
    let data = ServiceBuilder::new()
        .layer(RateLimitLayer::new("data", quota))
        .layer(RewriteLayer::strip("/data").unwrap())
        .layer(KeyLayer::new(KeySources::parse(["body:subjects"]).unwrap()))
        .layer(RetryLayer::new(NextNode::new(2, budget)))
        .service(select);
    let table = Table::builder().route("/data/*", Methods::POST, BoxCloneSyncService::new(data));
    let service = ServiceBuilder::new()
        .layer(ForwardLayer::new())
        .service(Route::new(table.build().unwrap()));
    let service = BoxCloneSyncService::new(service);
    Gateway { service, pool, circuits, places, called }
}

/// Does what the body's `does` says.
async fn misbehave(request: Outgoing) -> Result<Response<()>, BoxError> {
    let body = request.body().bytes().unwrap();
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    match body["does"].as_str().unwrap() {
        "hang" => pending().await,
        "panic" => panic!("as told"),
        "error" => Err("as told".into()),
        "fail" => Ok(status(StatusCode::BAD_GATEWAY)),
        _ => Ok(Response::new(())),
    }
}

fn status(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

fn request(does: &str, key: &str) -> Incoming {
    let body = format!(r#"{{"subjects":"{key}","does":"{does}"}}"#);
    Request::post("/data/x").header("host", "h").body(Full::from(body)).unwrap()
}

fn plenty() -> Quota {
    Quota::new(1_000_000, 1_000_000).unwrap()
}

impl Gateway {
    async fn call(&self, does: &str, key: &str) -> Result<Response<()>, BoxError> {
        self.service.clone().oneshot(request(does, key)).await
    }

    /// Whether everything that requests take is back.
    fn is_at_rest(&self) -> bool {
        self.pool.members().iter().all(|member| member.in_flight() == 0)
            && self.places.iter().all(|places| places.available_permits() == PLACES)
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_limit_refuses_is_not_read_and_counts_against_no_upstream() {
    let gateway = gateway(Quota::new(1, 1).unwrap());
    gateway.call("answer", "k").await.unwrap();
    for _ in 0..20 {
        let refused = gateway.call("error", "k").await.unwrap_err();
        assert!(matches!(Rejection::find(&*refused), Some(Rejection::RateLimited { .. })));
    }
    assert_eq!(gateway.called.load(Ordering::Relaxed), 1);
    assert_eq!(gateway.circuits.iter().map(|circuit| circuit.snapshot().requests).sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_moves_reads_on_and_closes_after_a_trial() {
    let gateway = gateway(plenty());
    let owner = gateway.call("answer", "k").await.unwrap().headers()["x-node"].clone();
    let at = NODES.iter().position(|node| owner == node).unwrap();
    while gateway.circuits[at].snapshot().state == State::Closed {
        gateway.call("fail", "k").await.unwrap();
    }
    let moved = gateway.call("answer", "k").await.unwrap();
    assert_ne!(moved.headers()["x-node"], owner);
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..2 {
        assert_eq!(gateway.call("answer", "k").await.unwrap().headers()["x-node"], owner);
    }
    assert_eq!(gateway.circuits[at].snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_place_and_give_up_leave_the_queue() {
    let gateway = gateway(plenty());
    let hang = || task::spawn(gateway.call("hang", "k"));
    let mut hung: Vec<_> = (0..20).map(|_| hang()).collect();
    for call in &mut hung {
        assert_pending!(call.poll());
    }
    assert_eq!(gateway.called.load(Ordering::Relaxed), 4, "two at each of two nodes");
    assert!(!gateway.is_at_rest());
    drop(hung);
    assert!(gateway.is_at_rest());
    gateway.call("answer", "k").await.unwrap();
}

/// Lets a request run until it ends or can go no further; then drops it.
fn run(gateway: &Gateway, does: &str, key: &str) {
    let mut call = task::spawn(gateway.call(does, key));
    let _ = catch_unwind(AssertUnwindSafe(|| call.poll().is_ready()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_stays_behind(
        acts in prop::collection::vec(
            (prop::sample::select(vec!["answer", "fail", "error", "hang", "panic"]), "[a-d]", 0_u64..4_000),
            0..80,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let gateway = gateway(plenty());
            for (does, key, milliseconds) in acts {
                run(&gateway, does, &key);
                assert!(gateway.is_at_rest(), "after {does}");
                tokio::time::advance(Duration::from_millis(milliseconds)).await;
            }
            // Half-open breakers have two places, so both must be free now, if all others came back.
            tokio::time::advance(Duration::from_secs(60)).await;
            for key in ["a", "b", "c", "d", "a", "b", "c", "d"] {
                let mut call = task::spawn(gateway.call("answer", key));
                assert_eq!(assert_ready!(call.poll()).unwrap().status(), StatusCode::OK);
            }
            assert!(gateway.circuits.iter().all(|circuit| circuit.snapshot().state == State::Closed));
        });
    }
}
