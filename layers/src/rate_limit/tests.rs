use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use http::Request;
use kamaitachi_policies::quota::{KeyedBuckets, Quota};
use tower::{BoxError, Layer as _, Service, ServiceExt as _, service_fn};

use super::*;
use crate::{client::PeerAddr, rejection::Rejection};

fn stack(
    layer: &RateLimitLayer,
) -> impl Service<Request<()>, Response = (), Error = BoxError> + Clone + use<> {
    layer.layer(service_fn(|_| async { Ok::<_, BoxError>(()) }))
}

fn from(ip: &str) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddr::new(format!("{ip}:1").parse().unwrap()));
    request
}

async fn verdict(layer: &RateLimitLayer, request: Request<()>) -> Result<(), (String, Duration)> {
    stack(layer).oneshot(request).await.map_err(|error| match Rejection::find(&*error) {
        Some(Rejection::RateLimited { limit, retry_after }) => (limit.to_string(), *retry_after),
        other => panic!("{other:?}"),
    })
}

fn quota(rate: u32, burst: u32) -> Quota {
    Quota::new(rate, burst).unwrap()
}

fn per_client(quota: Quota) -> Arc<KeyedBuckets<Caller>> {
    Arc::new(KeyedBuckets::new(quota, NonZeroUsize::new(100).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn refuses_when_empty_and_recovers_with_time() {
    let layer = RateLimitLayer::new("period", quota(2, 3));
    for _ in 0..3 {
        assert_eq!(verdict(&layer, Request::new(())).await, Ok(()));
    }
    let refused = Err(("period".to_owned(), Duration::from_millis(500)));
    assert_eq!(verdict(&layer, Request::new(())).await, refused);
    tokio::time::advance(Duration::from_millis(499)).await;
    assert!(verdict(&layer, Request::new(())).await.is_err());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(verdict(&layer, Request::new(())).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_flooding_client_takes_nothing_from_the_others() {
    let layer = RateLimitLayer::new("all", quota(1, 3)).keyed(
        "one",
        per_client(quota(1, 1)),
        Caller::by_ip,
    );
    assert!(verdict(&layer, from("192.0.2.1")).await.is_ok());
    for _ in 0..10 {
        let (limit, _) = verdict(&layer, from("192.0.2.1")).await.unwrap_err();
        assert_eq!(limit, "one");
    }
    assert!(verdict(&layer, from("192.0.2.2")).await.is_ok());
    assert!(verdict(&layer, from("192.0.2.3")).await.is_ok());
    let (limit, _) = verdict(&layer, from("192.0.2.4")).await.unwrap_err();
    assert_eq!(limit, "all", "without a key of its own the shared limit still counts");
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_subscriber_has_one_bucket() {
    let layer = RateLimitLayer::new("all", quota(100, 100)).keyed(
        "one",
        per_client(quota(1, 1)),
        Caller::by_ip,
    );
    assert!(verdict(&layer, from("[2001:db8:0:1::1]")).await.is_ok());
    assert!(verdict(&layer, from("[2001:db8:0:1:ffff::2]")).await.is_err());
    assert!(verdict(&layer, from("[2001:db8:0:2::1]")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_counts_before_the_address() {
    let by_key = Caller::by_header(http::HeaderName::from_static("x-api-key"));
    let layer =
        RateLimitLayer::new("all", quota(100, 100)).keyed("one", per_client(quota(1, 1)), by_key);
    let with_key = |key: &'static str| {
        let mut request = from("192.0.2.1");
        request.headers_mut().insert("x-api-key", key.parse().unwrap());
        request
    };
    assert!(verdict(&layer, with_key("a")).await.is_ok());
    assert!(verdict(&layer, with_key("a")).await.is_err());
    assert!(verdict(&layer, with_key("b")).await.is_ok());
    assert!(verdict(&layer, from("192.0.2.1")).await.is_ok());
    assert!(verdict(&layer, from("192.0.2.1")).await.is_err());
    assert!(verdict(&layer, Request::new(())).await.is_ok(), "nobody known is not limited");
}

#[tokio::test(start_paused = true)]
async fn the_exempt_take_no_tokens() {
    let layer = RateLimitLayer::new("all", quota(1, 1))
        .exempting(|head| head.headers.contains_key("x-exempt"));
    for _ in 0..5 {
        let exempt = Request::builder().header("x-exempt", "").body(()).unwrap();
        assert!(verdict(&layer, exempt).await.is_ok());
    }
    assert!(verdict(&layer, Request::new(())).await.is_ok());
    assert!(verdict(&layer, Request::new(())).await.is_err());
}

#[test]
fn concurrent_clones_never_get_more_than_the_burst() {
    let layer = RateLimitLayer::new("all", quota(1, 10));
    let calls = (0..50).map(|_| {
        let layer = layer.clone();
        std::thread::spawn(move || {
            tokio_test::block_on(async { verdict(&layer, Request::new(())).await.is_ok() })
        })
    });
    let calls: Vec<_> = calls.collect();
    let admitted = calls.into_iter().map(|call| call.join().unwrap());
    let admitted = admitted.filter(|admitted| *admitted).count();
    // One or two more where the machine takes a second or two over it.
    assert!((10..=12).contains(&admitted), "{admitted} admitted");
}

#[tokio::test]
async fn errors_of_the_inner_service_pass_untouched() {
    let failing = service_fn(|_: Request<()>| async { Err::<(), BoxError>("inner".into()) });
    let layer = RateLimitLayer::new("all", quota(1, 1));
    let error = layer.layer(failing).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), "inner");
}
