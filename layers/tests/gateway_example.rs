//! The gateway of `examples/gateway.rs`, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Ring, Spread};
use tokio::net::TcpListener;

#[allow(dead_code, reason = "its main is not called here")]
#[path = "../examples/gateway.rs"]
mod example;

/// A node that answers with what it got, and its address.
async fn node() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(echo);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

/// Answers `METHOD TARGET`, the fields and the body, one a line.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut said = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        said += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    said += std::str::from_utf8(&body).unwrap();
    Ok(Response::new(Full::from(said)))
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn post(gateway: SocketAddr, target: &str, body: &str) -> Answer {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("http://{gateway}{target}"))
        .header("connection", "x-mine")
        .header("x-mine", "1")
        .body(Full::<Bytes>::from(body.to_owned()))
        .unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: head.status, headers: head.headers, text }
}

async fn start(nodes: &[SocketAddr]) -> SocketAddr {
    let gateway = example::gateway(nodes.iter().map(ToString::to_string).collect()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(example::serve(listener, gateway));
    addr
}

#[tokio::test]
async fn a_request_reaches_the_owner_of_its_key_as_a_proxy_should_send_it() {
    let nodes = [node().await, node().await];
    let gateway = start(&nodes).await;
    let ring = Ring::new(nodes.map(|node| node.to_string()), DEFAULT_REPLICAS, Spread::Plain);
    for subject in ["33:000001", "33:00000009", "17:600606", "33:300033"] {
        let body = format!(r#"{{"ids": "a,b", "subjects": "{subject},x"}}"#);
        let answer = post(gateway, "/data/x%2Fy?q=%20", &body).await;
        assert_eq!(answer.status, StatusCode::OK);
        let owner = ring.name(ring.owner(subject.as_bytes()).unwrap()).unwrap();
        assert_eq!(answer.headers["x-node"], owner);
        assert_eq!(answer.headers["via"], "1.1 kamaitachi");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        for line in [
            "POST /x%2Fy?q=%20",
            &format!("host: {gateway}"),
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            &format!("x-forwarded-host: {gateway}"),
            "via: 1.1 kamaitachi",
            &format!("x-request-id: {id}"),
            &body,
        ] {
            assert!(answer.text.lines().any(|said| said == line), "no {line:?} in {}", answer.text);
        }
        assert!(!answer.text.contains("x-mine"));
    }
}

#[tokio::test]
async fn a_dead_node_is_passed_over_until_its_breaker_knows() {
    let nodes = [node().await, nobody().await];
    let gateway = start(&nodes).await;
    for request in 0..200 {
        let answer = post(gateway, "/data/x", &format!(r#"{{"subjects":["{request}"]}}"#)).await;
        assert_eq!(answer.status, StatusCode::OK, "{request}: {}", answer.text);
        assert_eq!(answer.headers["x-node"], nodes[0].to_string());
    }
}

#[tokio::test]
async fn refusals_have_their_status_and_an_id() {
    let gateway = start(&[nobody().await]).await;
    for (target, status) in [
        ("/other", StatusCode::NOT_FOUND),
        ("/data/../x", StatusCode::BAD_REQUEST),
        ("/data/%2e%2e/x", StatusCode::BAD_REQUEST),
        ("/data/x", StatusCode::BAD_GATEWAY),
    ] {
        let answer = post(gateway, target, "{}").await;
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.headers.contains_key("x-request-id"));
    }
    let too_long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(post(gateway, "/data/x", &too_long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}
