//! Key extraction from the bodies of a data API.
//!
//!     cargo bench -p kamaitachi-layers --bench key
use std::{
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, counter::BytesCount};
use http::Request;
use http_body_util::Full;
use kamaitachi_layers::{
    body::Body,
    key::{Key, KeyLayer, KeySources, RoutingKey},
};
use tower::{BoxError, Layer as _, Service as _, util::ServiceFn};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

type Inner = fn(Request<Body<Full<Bytes>>>) -> Ready<Result<Option<RoutingKey>, BoxError>>;

fn inner(mut request: Request<Body<Full<Bytes>>>) -> Ready<Result<Option<RoutingKey>, BoxError>> {
    ready(Ok(request.extensions_mut().remove()))
}

fn service() -> Key<ServiceFn<Inner>> {
    const SOURCES: [&str; 6] = [
        "body:subjects",
        "body:topic",
        "body:selection.subject",
        "path:/data/v1/get/{id}",
        "body:subjectIds",
        "client-ip",
    ];
    let sources = KeySources::parse(SOURCES).expect("well-formed sources");
    KeyLayer::new(sources).layer(tower::service_fn(inner as Inner))
}

/// Runs the whole layer over `body`: reading it, finding the key, calling the inner service.
fn run(bencher: Bencher<'_, '_>, body: impl Into<Bytes>) {
    let (body, service) = (body.into(), service());
    let mut cx = Context::from_waker(Waker::noop());
    bencher
        .counter(BytesCount::of_slice(&body))
        .with_inputs(|| (service.clone(), Request::new(Full::new(body.clone()))))
        .bench_local_values(|(mut service, request)| {
            let called = std::pin::pin!(service.call(request));
            let Poll::Ready(Ok(key)) = called.poll(&mut cx) else { panic!("all of it is there") };
            assert!(key.is_some());
            black_box(key)
        });
}

/// The usual query: three indicators, two subjects.
#[divan::bench]
fn subjects_first(bencher: Bencher<'_, '_>) {
    run(
        bencher,
        r#"{"subjects":"33:00000009,33:00000010","ids":"operating_income,net_profit,total_profit","field":"report_date","order":-1,"offset":0,"limit":20}"#,
    );
}

/// The same with the key at its end.
#[divan::bench]
fn subjects_last(bencher: Bencher<'_, '_>) {
    run(
        bencher,
        r#"{"ids":"operating_income,net_profit,total_profit","field":"report_date","order":-1,"offset":0,"limit":20,"subjects":"33:00000009,33:00000010"}"#,
    );
}

/// Nothing better than the topic, which shows only at the end.
#[divan::bench]
fn topic_only(bencher: Bencher<'_, '_>) {
    run(
        bencher,
        r#"{"topic":"stock_a_listing_pool","ids":"operating_income,net_profit,total_profit","field":"report_date","order":-1,"offset":0,"limit":20}"#,
    );
}

/// Fifty subjects in an array.
#[divan::bench]
fn fifty_subjects(bencher: Bencher<'_, '_>) {
    let subjects: Vec<_> = (0..50).map(|number| format!("\"33:{number:08}\"")).collect();
    run(bencher, format!(r#"{{"ids":"operating_income","subjects":[{}]}}"#, subjects.join(",")));
}

/// A megabyte of something else before the key.
#[divan::bench]
fn a_megabyte(bencher: Bencher<'_, '_>) {
    let other = "[1,\"two\",{\"three\":3}],".repeat(45_000);
    run(bencher, format!(r#"{{"other":[{other}0],"topic":"t"}}"#));
}
