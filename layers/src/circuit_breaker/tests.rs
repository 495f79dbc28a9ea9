use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use kamaitachi_policies::breaker::{BreakerConfig, BreakerSettings, Outcome, State};
use tokio_test::{assert_pending, task};
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

use super::*;
use crate::{rejection::Rejection, retry::HandedBack};

type Req = Request<Empty<Bytes>>;
type Answered = Result<Response<()>, BoxError>;

/// What the inner service does, by the request's path.
async fn upstream(request: Req) -> Answered {
    match request.uri().path() {
        "/error" => Err("connection reset".into()),
        "/refused" => Err(Rejection::NoUpstream.into()),
        "/hang" => pending().await,
        "/panic" => panic!("in the future"),
        path => {
            let mut response = Response::new(());
            *response.status_mut() = path[1..].parse().unwrap();
            Ok(response)
        }
    }
}

fn settings() -> BreakerSettings {
    BreakerSettings {
        min_requests: 2,
        half_open_requests: 2,
        close_after: 2,
        ..BreakerSettings::default()
    }
}

fn circuit() -> Circuit {
    Circuit::new("r@n", BreakerConfig::new(settings()).unwrap())
}

fn around(
    circuit: &Circuit,
) -> impl Service<Req, Response = Response<()>, Error = BoxError> + Clone + use<> {
    CircuitBreakerLayer::new(circuit.clone()).layer(service_fn(upstream))
}

fn to(path: &str) -> Req {
    Request::get(path).body(Empty::new()).unwrap()
}

async fn call(circuit: &Circuit, path: &str) -> Answered {
    around(circuit).oneshot(to(path)).await
}

async fn open(circuit: &Circuit) {
    for _ in 0..2 {
        call(circuit, "/500").await.unwrap();
    }
    assert_eq!(circuit.snapshot().state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn opens_on_failures_refuses_and_closes_after_a_good_trial() {
    let circuit = circuit();
    open(&circuit).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let refused = call(&circuit, "/200").await.unwrap_err();
    let Some(Rejection::CircuitOpen { breaker, retry_after }) = Rejection::find(&*refused) else {
        panic!("{refused}")
    };
    assert_eq!((&**breaker, *retry_after), ("r@n", Duration::from_secs(20)));
    tokio::time::advance(Duration::from_secs(20)).await;
    for _ in 0..2 {
        call(&circuit, "/200").await.unwrap();
    }
    assert_eq!(circuit.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn counts_answers_of_500_and_above_and_errors_but_not_our_own_refusals() {
    let circuit = circuit();
    for path in ["/200", "/404", "/302", "/499", "/429"] {
        call(&circuit, path).await.unwrap();
    }
    call(&circuit, "/refused").await.unwrap_err();
    let seen = circuit.snapshot();
    assert_eq!((seen.successes, seen.failures), (5, 0));
    call(&circuit, "/500").await.unwrap();
    call(&circuit, "/503").await.unwrap();
    call(&circuit, "/error").await.unwrap_err();
    let seen = circuit.snapshot();
    assert_eq!((seen.successes, seen.failures), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn another_classifier_can_be_given() {
    let circuit = circuit();
    let strict = CircuitBreakerLayer::new(circuit.clone()).classifying(|answer| match answer {
        Ok(StatusCode::OK) => Outcome::Success,
        _ => Outcome::Failure,
    });
    strict.layer(service_fn(upstream)).oneshot(to("/404")).await.unwrap();
    assert_eq!(circuit.snapshot().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_gives_its_half_open_place_back() {
    let circuit = circuit();
    open(&circuit).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..10 {
        let mut hung = [task::spawn(call(&circuit, "/hang")), task::spawn(call(&circuit, "/hang"))];
        for hung in &mut hung {
            assert_pending!(hung.poll());
        }
        call(&circuit, "/200").await.expect_err("both places are taken");
    }
    assert_eq!(circuit.snapshot().requests, 0);
    for _ in 0..2 {
        call(&circuit, "/200").await.expect("every place came back");
    }
    assert_eq!(circuit.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_no_place_with_it() {
    let circuit = circuit();
    open(&circuit).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..5 {
        let mut call = task::spawn(call(&circuit, "/panic"));
        assert!(catch_unwind(AssertUnwindSafe(|| call.poll())).is_err());
    }
    let panics = service_fn(|_: Req| -> std::future::Ready<Answered> { panic!("in the call") });
    let mut panics = CircuitBreakerLayer::new(circuit.clone()).layer(panics);
    for _ in 0..5 {
        assert!(catch_unwind(AssertUnwindSafe(|| panics.call(to("/")))).is_err());
    }
    call(&circuit, "/200").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_is_never_ready_takes_no_place() {
    let circuit = circuit();
    open(&circuit).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    let never = tower::limit::ConcurrencyLimit::new(service_fn(upstream), 0);
    let stack = CircuitBreakerLayer::new(circuit.clone()).layer(never);
    for _ in 0..5 {
        assert_pending!(task::spawn(stack.clone().oneshot(to("/200"))).poll());
    }
    call(&circuit, "/200").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_hands_the_request_back_if_its_body_is_in_memory() {
    let circuit = circuit();
    open(&circuit).await;
    let inner =
        service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(())) });
    let stack = CircuitBreakerLayer::new(circuit).layer(inner);
    let request = Request::post("/x").header("a", "b").body(Full::from("body")).unwrap();
    let error = stack.oneshot(request).await.unwrap_err();
    let (request, why) = error.downcast::<HandedBack>().unwrap().into_parts();
    assert_eq!((request.uri().path(), &request.headers()["a"]), ("/x", &"b".parse().unwrap()));
    assert_eq!(request.into_body(), "body");
    assert!(matches!(why.downcast_ref(), Some(Rejection::CircuitOpen { .. })));
}
