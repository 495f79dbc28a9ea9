//! What becomes of requests when nodes fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::harness::{
    Node, Reply, Rig, about, configured, connect, nobody, owned_by, request, until, whole,
};

const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";
const PERIOD: &str = "/data/kamaitachi/api/data/v1/period";
const OPEN: &str =
    r#"{"code":503,"message":"Service Unavailable - Circuit breaker is open","data":null}"#;

/// A node that fails while the flag is set.
async fn fickle() -> (Node, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&fails);
    let node = Node::scripted(move |_| {
        if flag.load(Relaxed) {
            Reply::status(StatusCode::INTERNAL_SERVER_ERROR, "broken")
        } else {
            Reply::ok("ok")
        }
    });
    (node.await, fails)
}

#[tokio::test]
async fn without_nodes_every_data_request_is_503() {
    let rig = Rig::start(&[], "");
    for path in [SNAPSHOT, "/data/v1/save?id=1", "/data/v1/get/x"] {
        let answer = rig.post(path, "{}").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.json()["message"], "no available nodes");
        assert_eq!(answer.json()["status_msg"], "no available nodes");
        assert_eq!(answer.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_502_until_its_breaker_opens() {
    let node = nobody().await;
    let rig = Rig::with(configured(&[node], None, ""));
    for _ in 0..10 {
        let answer = rig.post(SNAPSHOT, "{}").await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert_eq!(answer.json()["status_code"], 502);
        assert!(!answer.text().contains("refused"), "library text: {}", answer.text());
    }
    let answer = rig.post(SNAPSHOT, "{}").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, OPEN));
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(rig.breaker(&format!("snapshot@{node}")).await["state"], "OPEN");
    // Each route has a breaker of its own.
    assert_eq!(rig.post(PERIOD, "{}").await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn breakers_are_there_before_the_first_request() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    let name = format!("snapshot@{}", node.addr);
    let mut page = rig.breaker(&name).await;
    let since = page.as_object_mut().unwrap().remove("state_changed_at").unwrap();
    assert!(since.as_str().unwrap().ends_with('Z'), "{since}");
    assert_eq!(
        page,
        json!({
            "name": name, "state": "CLOSED", "requests": 0, "successes": 0, "failures": 0,
            "failure_rate": 0.0, "consecutive_successes": 0, "consecutive_fails": 0,
        })
    );
}

#[tokio::test]
async fn a_breaker_opens_tries_again_and_closes() {
    let (node, fails) = fickle().await;
    let rig = Rig::start(&[&node], "[breaker]\nopen_for = '300ms'\n");
    let name = format!("snapshot@{}", node.addr);
    let ask = || async { rig.post(SNAPSHOT, "{}").await.status.as_u16() };
    for _ in 0..5 {
        assert_eq!(ask().await, 200);
    }
    fails.store(true, Relaxed);
    for _ in 0..5 {
        assert_eq!(ask().await, 500);
    }
    // Five of ten: half.
    assert_eq!(rig.post(SNAPSHOT, "{}").await.text(), OPEN);
    let page = rig.breaker(&name).await;
    assert_eq!((&page["state"], &page["requests"]), (&"OPEN".into(), &10.into()));
    assert_eq!((&page["failures"], &page["failure_rate"]), (&5.into(), &0.5.into()));

    // Half-open, one failure opens it again.
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_eq!(ask().await, 500);
    assert_eq!(ask().await, 503);

    // Five successes in a row close it.
    tokio::time::sleep(Duration::from_millis(320)).await;
    fails.store(false, Relaxed);
    for i in 0..5 {
        assert_eq!(rig.breaker(&name).await["state"], "HALF_OPEN", "{i}");
        assert_eq!(ask().await, 200);
    }
    assert_eq!(rig.breaker(&name).await["state"], "CLOSED");
}

#[tokio::test]
async fn answers_that_blame_the_client_are_no_failures() {
    let node = Node::scripted(|_| Reply::status(StatusCode::NOT_FOUND, "{}")).await;
    let rig = Rig::start(&[&node], "");
    for _ in 0..30 {
        assert_eq!(rig.post(SNAPSHOT, "{}").await.status, StatusCode::NOT_FOUND);
    }
    let page = rig.breaker(&format!("snapshot@{}", node.addr)).await;
    assert_eq!((&page["state"], &page["successes"]), (&"CLOSED".into(), &30.into()));
}

#[tokio::test]
async fn a_read_goes_on_to_the_next_node_past_a_dead_one_and_an_open_breaker() {
    let live = Node::start().await;
    let (sick, fails) = fickle().await;
    let addrs = [live.addr, sick.addr];
    let rig = Rig::with(configured(&addrs, None, "[breaker]\nopen_for = '1m'\n"));
    let body = about(&owned_by(sick.addr, &addrs));
    assert_eq!(rig.post(SNAPSHOT, body.clone()).await.node(), sick.addr.to_string());
    fails.store(true, Relaxed);
    until("the breaker is open", || async {
        let name = format!("snapshot@{}", sick.addr);
        rig.post(SNAPSHOT, body.clone()).await;
        rig.breaker(&name).await["state"] == "OPEN"
    })
    .await;
    for _ in 0..100 {
        let answer = rig.post(SNAPSHOT, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.node()), (200, &*live.addr.to_string()));
    }
    drop(sick);
    for _ in 0..100 {
        let answer = rig.post(PERIOD, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.node()), (200, &*live.addr.to_string()));
    }
}

#[tokio::test]
async fn a_node_that_dies_under_load_costs_no_client_an_answer() {
    let (stays, dies) = (Node::start().await, Node::start().await);
    let addrs = [stays.addr, dies.addr];
    let rig = Rig::with(configured(&addrs, None, ""));
    let bodies: Vec<_> = (0..40).map(|i| about(&format!("33:{i:06}"))).collect();
    let failed = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (addr, bodies) = (rig.addr(), bodies.clone());
            let (failed, done) = (Arc::clone(&failed), Arc::clone(&done));
            tokio::spawn(async move {
                let mut sender = connect(addr).await;
                for body in bodies.iter().cycle().take(200) {
                    sender.ready().await.unwrap();
                    let request = request(Method::POST, SNAPSHOT, body.clone());
                    let answer = whole(sender.send_request(request).await.unwrap()).await;
                    failed.fetch_add(usize::from(answer.status != StatusCode::OK), Relaxed);
                    done.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    until("a quarter is done", || async { done.load(Relaxed) > 400 }).await;
    assert!(dies.served() > 0);
    drop(dies);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!((failed.load(Relaxed), done.load(Relaxed)), (0, 1600));
}

#[tokio::test]
async fn a_slow_node_is_504_and_counts_as_a_failure() {
    let node = Node::scripted(|_| Reply::ok("late").after(Duration::from_secs(30))).await;
    let rig =
        Rig::start(&[&node], "[upstream]\ntimeout = '5m'\n[routes.snapshot]\ntimeout = '100ms'\n");
    let began = tokio::time::Instant::now();
    let answer = rig.post(SNAPSHOT, "{}").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["code"], 504);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(rig.breaker(&format!("snapshot@{}", node.addr)).await["failures"], 1);
}

/// A listener that reads a request and answers with these bytes, then closes. Counts its connections.
async fn rude(answer: &'static [u8]) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            if stream.read(&mut read).await.unwrap() > 0 {
                count.fetch_add(1, Relaxed);
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    (addr, asked)
}

#[tokio::test]
async fn what_is_no_answer_is_502() {
    for answer in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let (node, _) = rude(answer).await;
        let rig = Rig::with(configured(&[node], None, ""));
        let got = rig.get("/data/x").await;
        assert_eq!(got.status, StatusCode::BAD_GATEWAY, "{}", String::from_utf8_lossy(answer));
        assert_eq!(got.json()["code"], 502);
    }
}

#[tokio::test]
async fn a_write_that_may_have_been_carried_out_is_not_sent_again() {
    let (master, asked) = rude(b"").await;
    let rig = Rig::with(configured(&[], Some(master), ""));
    let answer = rig.post("/data/v1/save?id=1", r#"{"id":"a","data":{"1":[1]}}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test]
async fn probes_take_a_node_out_and_bring_it_back() {
    let ready = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&ready);
    let node = Node::scripted(move |seen| {
        let is_down = seen.target == "/readyz" && !flag.load(Relaxed);
        if is_down { Reply::status(StatusCode::SERVICE_UNAVAILABLE, "") } else { Reply::ok("ok") }
    })
    .await;
    let other = Node::start().await;
    let health = "[health]\nenabled = true\ninterval = '20ms'\nhealthy_after = 1\n";
    let addrs = [node.addr, other.addr];
    let rig = Rig::with(configured(&addrs, None, health));
    let body = about(&owned_by(node.addr, &addrs));
    assert_eq!(rig.post(SNAPSHOT, body.clone()).await.node(), node.addr.to_string());
    ready.store(false, Relaxed);
    let answers = |expected: std::net::SocketAddr| {
        let (rig, body) = (&rig, body.clone());
        move || {
            let body = body.clone();
            async move { rig.post(SNAPSHOT, body).await.node() == expected.to_string() }
        }
    };
    until("the other node answers", answers(other.addr)).await;
    let nodes = rig.get("/monitor/status").await.json()["data"]["nodes"].clone();
    let up = |addr: std::net::SocketAddr| {
        let nodes = nodes.as_array().unwrap();
        nodes.iter().find(|n| n["node"] == addr.to_string()).map(|n| n["up"].clone())
    };
    assert_eq!(
        (up(node.addr), up(other.addr)),
        (Some(Value::Bool(false)), Some(Value::Bool(true)))
    );
    ready.store(true, Relaxed);
    until("the owner answers again", answers(node.addr)).await;
}

#[tokio::test]
async fn a_node_without_the_page_that_is_probed_is_well() {
    let node = Node::scripted(|seen| {
        let status = if seen.target == "/readyz" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        Reply::status(status, "{}")
    })
    .await;
    let rig = Rig::start(&[&node], "[health]\nenabled = true\ninterval = '10ms'\n");
    until("it was probed often", || async { node.served() > 10 }).await;
    assert_eq!(rig.get("/readyz").await.status, StatusCode::OK);
}
