//! The composed stack, in front of nodes in this process: no socket behind the gateway.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use kamaitachi_discovery::{Found, Origin};
use kamaitachi_gateway::{
    cluster::Membership,
    config::NodeAddr,
    discovery::Upstreams,
    gateway::Shared,
    own::PAGES,
    stack::compose,
    upstream::{Connector, Node},
};
use kamaitachi_layers::body::Body;
use kamaitachi_serve::{
    exposition::Exposition,
    server::{Handle, Server},
    shutdown::Drain,
};
use tokio::sync::watch;
use tower::{BoxError, Service};

use crate::harness::{about, configured, request, send, until};

/// Nodes in this process, which answer their own name, or panic if it holds the word.
#[derive(Clone)]
struct InProcess;

#[derive(Clone)]
struct Endpoint(Arc<str>);

impl<B> Connector<B> for InProcess {
    type Body = Full<Bytes>;
    type Endpoint = Endpoint;

    fn endpoint(&self, node: &Arc<Node>, _: bool) -> Endpoint {
        Endpoint(Arc::clone(node.name()))
    }

    fn endpoint_apart(&self, node: &Arc<Node>) -> Endpoint {
        Endpoint(Arc::clone(node.name()))
    }
}

impl<B> Service<Request<Body<B>>> for Endpoint {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body<B>>) -> Self::Future {
        assert!(!self.0.contains("panics"), "on purpose");
        ready(Ok(Response::new(Full::from(self.0.to_string()))))
    }
}

fn nodes(names: &[&str]) -> Arc<[NodeAddr]> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn shared(names: &[&str]) -> (Arc<Shared>, watch::Sender<Arc<[NodeAddr]>>) {
    let (changes, membership): (_, Membership) = watch::channel(nodes(names));
    let slaves = Found::following(membership, Origin::Static);
    let upstreams = Upstreams::new(slaves, Found::fixed(Vec::new()));
    (Shared::new(configured(&[], None, ""), upstreams, Drain::new()), changes)
}

/// A gateway in front of nodes of these names.
fn start(shared: &Arc<Shared>) -> Handle {
    let shared = Arc::clone(shared);
    let server = Server::new(([127, 0, 0, 1], 0).into()).workers(1);
    let made = server.start(move |_| {
        let stack = compose::<InProcess>(&shared, &PAGES, &|_| InProcess);
        let service = kamaitachi_gateway::worker::following(&shared, stack);
        move |connection| kamaitachi_gateway::worker::Peered::new(service.clone(), connection)
    });
    made.unwrap()
}

async fn owner(gateway: &Handle, subject: &str) -> String {
    let request = request(Method::POST, "/data/kamaitachi/api/data/v1/snapshot", about(subject));
    let answer = send(gateway.local_addr(), request).await;
    assert_eq!(answer.node(), answer.text());
    answer.node().to_owned()
}

#[tokio::test]
async fn the_ring_is_that_of_the_contract() {
    let (two, _changes) = shared(&["localhost:8081", "localhost:8082"]);
    let gateway = start(&two);
    for (subject, node) in [
        ("33:00000009", "localhost:8081"),
        ("33:00000010", "localhost:8081"),
        ("33:000001", "localhost:8082"),
        ("17:600606", "localhost:8081"),
        ("33:300033", "localhost:8082"),
    ] {
        assert_eq!(owner(&gateway, subject).await, node, "{subject}");
    }
    // Without a key, the client's address: 127.0.0.1.
    let answer = send(gateway.local_addr(), request(Method::GET, "/data/x", "")).await;
    assert_eq!(answer.node(), "localhost:8082");

    let (three, _changes) = shared(&["127.0.0.1:8083", "127.0.0.1:8081", "127.0.0.1:8082"]);
    let gateway = start(&three);
    for (subject, node) in [
        ("33:00000009", "127.0.0.1:8082"),
        ("33:000001", "127.0.0.1:8083"),
        ("33:100000", "127.0.0.1:8081"),
    ] {
        assert_eq!(owner(&gateway, subject).await, node, "{subject}");
    }
}

#[tokio::test]
async fn nodes_that_come_and_go_are_followed_and_forgotten() {
    let (shared, changes) = shared(&["localhost:8081"]);
    let gateway = start(&shared);
    assert_eq!(owner(&gateway, "33:000001").await, "localhost:8081");
    changes.send(nodes(&["localhost:8081", "localhost:8082"])).unwrap();
    until("the new owner answers", || async {
        owner(&gateway, "33:000001").await == "localhost:8082"
    })
    .await;
    assert_eq!(owner(&gateway, "33:00000009").await, "localhost:8081", "its keys stay");
    changes.send(nodes(&["localhost:8082"])).unwrap();
    until("its heir answers", || async {
        owner(&gateway, "33:00000009").await == "localhost:8082"
    })
    .await;
    until("what belongs to it is forgotten", || async {
        let breakers = shared.cluster.circuits();
        !breakers.is_empty()
            && breakers.iter().all(|breaker| breaker.name().ends_with("@localhost:8082"))
    })
    .await;
    let page = send(gateway.local_addr(), request(Method::GET, "/health", "")).await.json();
    assert_eq!(page["nodes"], serde_json::json!(["localhost:8082"]));
    changes.send(nodes(&[])).unwrap();
    until("there is no node", || async {
        let asked = request(Method::GET, "/data/x", "");
        send(gateway.local_addr(), asked).await.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
}

#[tokio::test]
async fn a_panic_costs_its_request_alone() {
    let (shared, _changes) = shared(&["panics:8081"]);
    let gateway = start(&shared);
    let mut sender = crate::harness::connect(gateway.local_addr()).await;
    for _ in 0..3 {
        sender.ready().await.unwrap();
        let answer = sender.send_request(request(Method::GET, "/data/x", "")).await.unwrap();
        let answer = crate::harness::whole(answer).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.json()["message"], "internal error");
        assert!(!answer.header("x-request-id").is_empty());
    }
    let metrics = shared.metrics.render(Exposition::Text);
    let line = "kamaitachi_gateway_requests_total{route=\"other\",method=\"GET\",code=\"500\",reason=\"internal\"} 3";
    assert!(metrics.contains(line), "{metrics}");
    let page = send(gateway.local_addr(), request(Method::GET, "/healthz", "")).await;
    assert_eq!(page.status, StatusCode::OK);
}

#[test]
fn the_order_of_the_layers_is_the_golden_one() {
    let (shared, _changes) = shared(&["localhost:8081"]);
    let text = compose::<InProcess>(&shared, &PAGES, &|_| InProcess).text.join("\n") + "\n";
    let golden = include_str!("../golden/stack.txt");
    assert!(text == golden, "the stack has changed; it is now\n{text}");
}
