use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use kamaitachi_policies::{
    breaker::BreakerConfig,
    budget::BudgetConfig,
    ring::{DEFAULT_REPLICAS, Ring, Spread},
};
use parking_lot::Mutex;
use tower::{
    BoxError, Layer as _, Service as _, ServiceExt as _, retry::RetryLayer, service_fn,
    util::BoxCloneService,
};

use super::*;
use crate::{
    body::Body,
    circuit_breaker::{Circuit, CircuitBreakerLayer},
    key::RoutingKey,
    rejection::Rejection,
    select::{Failed, Member, Pool, Select},
    testing::{Piece, Pieces},
};

const X_NODE: HeaderName = HeaderName::from_static("x-node");
const NAMES: [&str; 3] = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];

type Req = Request<Body<Pieces>>;
type Endpoint = BoxCloneService<Req, Response<Bytes>, BoxError>;

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Answers with the body it got.
    Echoes,
    /// Does not take the request, and hands it back.
    Unreachable,
    /// Does not take the request, and says so.
    SaysUntaken,
    /// Fails with the request in hand.
    Fails,
}

/// A pool of the members that own `k` in this order, and what was asked of them.
struct Cluster {
    pool: Pool<Endpoint>,
    order: Vec<&'static str>,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

fn cluster(does: &[Does]) -> Cluster {
    let ring = Ring::new(NAMES[..does.len()].iter().copied(), DEFAULT_REPLICAS, Spread::Plain);
    let name = |node| NAMES.into_iter().find(|name| Some(*name) == ring.name(node)).unwrap();
    let order: Vec<_> = ring.successors(b"k").map(name).collect();
    let asked = Arc::default();
    let pool = Pool::default();
    pool.set(order.iter().zip(does).map(|(name, does)| endpoint(name, *does, &asked)));
    Cluster { pool, order, asked }
}

fn endpoint(
    name: &'static str,
    does: Does,
    asked: &Arc<Mutex<Vec<&'static str>>>,
) -> Member<Endpoint> {
    let asked = Arc::clone(asked);
    let service = service_fn(move |request: Req| {
        asked.lock().push(name);
        async move {
            match does {
                Does::Echoes => Ok(Response::new(request.into_body().collect().await?.to_bytes())),
                Does::Unreachable => Err(hand_back(request, "connection refused")),
                Does::SaysUntaken => Err("untaken".into()),
                Does::Fails => Err("reset".into()),
            }
        }
    });
    Member::new(name, BoxCloneService::new(service)).unwrap()
}

impl Cluster {
    async fn call(&self, policy: NextNode, request: Req) -> Result<Response<Bytes>, BoxError> {
        let select = Select::new(self.pool.clone()).naming(X_NODE);
        RetryLayer::new(policy).layer(select).oneshot(request).await
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock())
    }
}

fn request() -> Req {
    let mut request = Request::post("/x").body(Body::buffered("body".into())).unwrap();
    request.extensions_mut().insert(RoutingKey::from("k"));
    request
}

/// As many retries as there are requests, and `floor` × 10 in reserve.
fn budget(percent: u16, floor: u16) -> SharedBudget {
    SharedBudget::new(BudgetConfig::new(percent, floor).unwrap())
}

use Does::{Echoes, Fails, SaysUntaken, Unreachable};

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_goes_whole_to_the_next_members_in_ring_order() {
    let cluster = cluster(&[Unreachable, Unreachable, Echoes]);
    let response = cluster.call(NextNode::new(3, budget(0, 1)), request()).await.unwrap();
    assert_eq!(cluster.asked(), cluster.order);
    assert_eq!(response.headers()[X_NODE], cluster.order[2]);
    assert_eq!(response.into_body(), "body");
}

#[tokio::test(start_paused = true)]
async fn with_two_members_the_other_one_is_asked_though_the_first_was_marked_down_meanwhile() {
    let cluster = cluster(&[Unreachable, Echoes]);
    cluster.pool.members().iter().for_each(|member| {
        member.health().set(**member.name() != *cluster.order[0]);
    });
    let response = cluster.call(NextNode::new(2, budget(0, 1)), request()).await.unwrap();
    assert_eq!(response.headers()[X_NODE], cluster.order[1]);
    assert_eq!(cluster.asked(), [cluster.order[1]]);
    for member in &*cluster.pool.members() {
        member.health().set(false);
    }
    cluster.call(NextNode::new(2, budget(0, 1)), request()).await.unwrap();
    assert_eq!(cluster.asked(), cluster.order);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_taken_is_never_repeated() {
    let cluster = cluster(&[Fails, Echoes]);
    let error = cluster.call(NextNode::new(3, budget(0, 1)), request()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} failed", cluster.order[0]));
    assert_eq!(cluster.asked(), [cluster.order[0]]);
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_tries_than_allowed_and_no_more_than_members() {
    let cluster = cluster(&[Unreachable, Unreachable, Unreachable]);
    for (tries, made) in [(0, 1), (1, 1), (2, 2), (3, 3), (9, 3)] {
        let budget = budget(0, 1);
        let error =
            cluster.call(NextNode::new(tries, budget.clone()), request()).await.unwrap_err();
        let failed = error.downcast_ref::<Failed>().unwrap();
        assert_eq!(**failed.member(), *cluster.order[made - 1]);
        assert_eq!(cluster.asked(), cluster.order[..made]);
        assert_eq!(budget.balance(), 10 - (made as u64 - 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_ends_it_and_requests_fill_it() {
    let cluster = cluster(&[Unreachable, Echoes]);
    let budget = budget(50, 0);
    let policy = NextNode::new(2, budget.clone());
    cluster.call(policy.clone(), request()).await.unwrap_err();
    assert_eq!(cluster.asked().len(), 1);
    cluster.call(policy.clone(), request()).await.expect("two requests pay for one retry");
    assert_eq!(cluster.asked().len(), 2);
    assert_eq!(budget.balance(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_service_that_is_called_often_counts_every_request() {
    let cluster = cluster(&[Echoes]);
    let budget = budget(100, 0);
    let select = Select::new(cluster.pool.clone());
    let mut stack = RetryLayer::new(NextNode::new(2, budget.clone())).layer(select);
    for _ in 0..5 {
        stack.ready().await.unwrap().call(request()).await.unwrap();
    }
    assert_eq!(budget.balance(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_body_is_sent_once() {
    let cluster = cluster(&[Unreachable, Echoes]);
    for policy in [NextNode::new(2, budget(0, 1)), NextNode::new(2, budget(0, 1)).cloning(|_| true)]
    {
        let mut request = request();
        *request.body_mut() = Body::streaming(Pieces::new([Piece::Data(b"a"), Piece::Data(b"b")]));
        cluster.call(policy, request).await.unwrap_err();
        assert_eq!(cluster.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_hand_nothing_back_are_retried_with_a_clone_if_the_error_allows() {
    let says_untaken = |error: &(dyn std::error::Error + 'static)| {
        error.source().is_some_and(|source| source.to_string() == "untaken")
    };
    let policy = || NextNode::new(3, budget(0, 1)).cloning(says_untaken);
    let cluster_1 = cluster(&[SaysUntaken, Unreachable, Echoes]);
    let response = cluster_1.call(policy(), request()).await.unwrap();
    assert_eq!(cluster_1.asked(), cluster_1.order);
    assert_eq!(response.into_body(), "body");
    let cluster_2 = cluster(&[Fails, Echoes]);
    cluster_2.call(policy(), request()).await.unwrap_err();
    assert_eq!(cluster_2.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_breakers_refusal_is_free_and_if_all_refuse_it_is_the_answer() {
    let cluster = cluster(&[Fails, Echoes, Echoes]);
    let circuits: Vec<_> =
        NAMES.map(|name| Circuit::new(name, BreakerConfig::default())).into_iter().collect();
    let pool = Pool::default();
    pool.set(cluster.pool.members().iter().zip(&circuits).map(|(member, circuit)| {
        let guarded = CircuitBreakerLayer::new(circuit.clone()).layer(member.service().clone());
        Member::new(member.name(), guarded).unwrap()
    }));
    let nothing = budget(0, 0);
    let stack_end = Select::new(pool).naming(X_NODE);
    let stack = RetryLayer::new(NextNode::new(3, nothing)).layer(stack_end.clone());
    for _ in 0..10 {
        stack.clone().oneshot(request()).await.unwrap_err();
    }
    let response = stack.clone().oneshot(request()).await.expect("the next member takes it");
    assert_eq!(response.headers()[X_NODE], cluster.order[1]);

    // However many refuse, the one that does not is found; the tries of a request are for those that were asked.
    let two = cluster.order[..2].iter().map(|name| NAMES.iter().position(|n| n == name).unwrap());
    for open in two {
        break_open(&circuits[open]).await;
    }
    let few = NextNode::new(2, budget(0, 0));
    let stack = RetryLayer::new(few).layer(stack_end);
    let response = stack.clone().oneshot(request()).await.expect("the last member takes it");
    assert_eq!(response.headers()[X_NODE], cluster.order[2]);

    for circuit in &circuits {
        break_open(circuit).await;
    }
    let refused = stack.oneshot(request()).await.unwrap_err();
    assert!(matches!(Rejection::find(&*refused), Some(Rejection::CircuitOpen { .. })));
    assert_eq!(cluster.asked().len(), 12);
}

async fn break_open(circuit: &Circuit) {
    let fails = service_fn(|_: Req| async { Err::<Response<()>, BoxError>("fails".into()) });
    for _ in 0..10 {
        let _ = CircuitBreakerLayer::new(circuit.clone()).layer(fails).oneshot(request()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn works_without_a_pool_too() {
    let budget = budget(0, 1);
    let tried = Arc::new(Mutex::new(0));
    let inner = service_fn(|request: Req| {
        *tried.lock() += 1;
        async { Err::<(), _>(hand_back(request, "refused")) }
    });
    let error = RetryLayer::new(NextNode::new(3, budget))
        .layer(inner)
        .oneshot(request())
        .await
        .unwrap_err();
    assert_eq!((error.to_string().as_str(), *tried.lock()), ("refused", 3));
}
