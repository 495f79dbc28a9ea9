//! Real node processes that are killed, stopped and started again while clients ask: nobody may notice.

mod load;
mod node;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use load::{Load, SNAPSHOT};
use node::Process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::harness::{
    Node, Reply, Rig, about, configured, connect, owned_by, request, send, until,
};

/// Three node processes and a gateway that probes them.
struct Cluster {
    nodes: Vec<Process>,
    rig: Rig,
    _dir: tempfile::TempDir,
}

fn cluster(more: &str) -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    let nodes: Vec<_> = (0..3).map(|number| Process::start(dir.path(), number)).collect();
    let addrs: Vec<_> = nodes.iter().map(|node| node.addr).collect();
    let probes = "[health]\nenabled = true\ninterval = '200ms'\n";
    Cluster {
        rig: Rig::with(configured(&addrs, None, &format!("{probes}{more}"))),
        nodes,
        _dir: dir,
    }
}

impl Cluster {
    /// Who answers for what the node of this number owns.
    async fn answers_for(&self, number: usize) -> String {
        let addrs: Vec<_> = self.nodes.iter().map(|node| node.addr).collect();
        let body = about(&owned_by(addrs[number], &addrs));
        self.rig.post(SNAPSHOT, body).await.node().to_owned()
    }

    async fn answers_again(&self, number: usize) {
        let addr = self.nodes[number].addr.to_string();
        until("the node answers again", || async { self.answers_for(number).await == addr }).await;
    }
}

/// A load during which `fault` befalls the first node; it must be well again after that.
async fn nobody_notices(fault: impl AsyncFnOnce(Process, &Load) -> Process) {
    let mut cluster = cluster("");
    let load = Load::start(cluster.rig.addr(), 300);
    load.more(300).await;
    let node = cluster.nodes.remove(0);
    let node = fault(node, &load).await;
    cluster.nodes.insert(0, node);
    cluster.answers_again(0).await;
    load.more(100).await;
    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "{outcome:?}");
    // Far from the 30 s that a request may take; a busy machine is slow as well.
    assert!(outcome.longest < Duration::from_secs(8), "{:?}", outcome.longest);
}

#[tokio::test]
async fn a_node_that_is_killed_costs_no_read() {
    nobody_notices(async |node, load| {
        node.signal("KILL");
        load.more(600).await;
        node.again()
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_asked_to_stop_costs_no_read() {
    nobody_notices(async |node, load| {
        node.signal("TERM");
        load.more(600).await;
        node.again()
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_stopped_and_goes_on_costs_no_read() {
    nobody_notices(async |node, load| {
        node.signal("STOP");
        load.more(900).await;
        node.signal("CONT");
        node
    })
    .await;
}

#[tokio::test]
async fn when_all_nodes_are_gone_clients_hear_it_at_once_and_when_they_are_back_they_answer() {
    let mut cluster = cluster("[breaker]\nopen_for = '200ms'\n");
    cluster.answers_again(0).await;
    for node in &cluster.nodes {
        node.signal("KILL");
    }
    for i in 0..30 {
        let answer = cluster.rig.post(SNAPSHOT, about(&format!("33:{i:06}"))).await;
        match answer.status {
            StatusCode::BAD_GATEWAY => {}
            StatusCode::SERVICE_UNAVAILABLE => assert_ne!(answer.header("retry-after"), ""),
            other => panic!("{other}"),
        }
    }
    let nodes = std::mem::take(&mut cluster.nodes);
    cluster.nodes = nodes.into_iter().map(Process::again).collect();
    for number in 0..3 {
        cluster.answers_again(number).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_reset_in_its_body_is_never_a_whole_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for framing in
            ["content-length: 100\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
        {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes()).await.unwrap();
            // So that the head and the half are there before the reset overtakes them.
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.set_zero_linger().unwrap();
        }
    });
    let rig = Rig::with(configured(&[addr], None, ""));
    for _ in 0..2 {
        let mut sender = connect(rig.addr()).await;
        let answer = sender.send_request(request(Method::POST, SNAPSHOT, "{}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.expect_err("it is cut off, and the client sees that");
    }
}

#[tokio::test]
async fn a_node_that_refuses_everything_does_not_multiply_the_load() {
    // What is refused for being behind is not held against the node, so that every such request would be tried twice.
    let refuses = Node::scripted(|_| {
        let mut reply = Reply::status(StatusCode::SERVICE_UNAVAILABLE, "{}");
        let headers = reply.response.headers_mut();
        headers.insert("x-kamaitachi-unavailable", HeaderValue::from_static("behind"));
        reply
    })
    .await;
    let other = Node::start().await;
    let rig = Rig::start(&[&refuses, &other], "[retry]\nmin_per_second = 0\n");
    let load = Load::start(rig.addr(), 500);
    load.more(1_000).await;
    let outcome = load.stop().await;
    let tries = refuses.seen.lock().len() + other.seen.lock().len();
    let most = outcome.answers + outcome.answers / 10;
    assert!(
        (outcome.answers..=most).contains(&tries),
        "{tries} tries, {} requests",
        outcome.answers
    );
    assert!(outcome.failed.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test]
async fn a_gateway_process_that_is_asked_to_stop_answers_what_is_in_flight() {
    let node = Node::scripted(|_| Reply::ok("slow").after(Duration::from_millis(1_000))).await;
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_kamaitachi-gateway"))
        .env("KAMAITACHI__SERVER__PORT", "0")
        .env("KAMAITACHI__ADMIN__PORT", "0")
        .env("KAMAITACHI__UPSTREAM__NODES", node.addr.to_string())
        .env("KAMAITACHI__LOG__FORMAT", "json")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap()).lines().map(Result::unwrap);
    let serving = lines.find(|line| line.contains("\"serving\"")).expect("it says that it serves");
    std::thread::spawn(move || lines.count());
    let said: serde_json::Value = serde_json::from_str(&serving).unwrap();
    let addr = said["public"].as_str().unwrap().parse().unwrap();
    let asked: Vec<_> =
        (0..100).map(|_| tokio::spawn(send(addr, request(Method::POST, SNAPSHOT, "{}")))).collect();
    let is_read = |seen: &crate::harness::Seen| seen.target.ends_with("snapshot");
    until("all requests are with the node", || async {
        node.seen.lock().iter().filter(|seen| is_read(seen)).count() == 100
    })
    .await;
    let pid = gateway.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "slow"));
    }
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}
