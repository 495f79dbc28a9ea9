//! The embedded cluster.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Answer, request, send};

const API: &str = "/data/kamaitachi/api/data/v1";

/// A running `demo`. Killed when dropped.
pub(crate) struct Demo {
    child: Child,
    guide: Vec<String>,
}

impl Demo {
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kamaitachi-gateway"))
            .args([
                "demo",
                "--stocks",
                "20",
                "--port",
                "0",
                "--admin-port",
                "0",
                "--node-port",
                "0",
            ])
            .arg("--dir")
            .arg(dir)
            .args(more)
            .env("KAMAITACHI__SERVER__WORKERS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut demo = Self { child, guide: Vec::new() };
        for line in BufReader::new(stdout).lines().map(Result::unwrap) {
            let is_last = line.contains("--repeat");
            demo.guide.push(line);
            if is_last {
                return demo;
            }
        }
        panic!("the demo ended before it served: {:#?}", demo.guide);
    }

    /// The address behind a word of the guide.
    pub(crate) fn addr(&self, who: &str) -> SocketAddr {
        let line = self.guide.iter().find(|line| line.trim_start().starts_with(who)).unwrap();
        let (_, rest) = line.split_once("http://").unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends SIGTERM; answers the exit code.
    fn end(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn post(addr: SocketAddr, path: &str, body: &str) -> Answer {
    let mut request = request(Method::POST, path, body.to_owned());
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    send(addr, request).await
}

#[tokio::test]
async fn a_whole_cluster_answers_through_its_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &["--nodes", "3"]);
    let gateway = demo.addr("gateway");
    let health = send(gateway, request(Method::GET, "/health", "")).await.json();
    assert_eq!((&health["status"], &health["count"]), (&"ok".into(), &3.into()));

    let body = r#"{"subjects":"33:00000009,33:00000010","ids":"operating_income,net_profit"}"#;
    let cold = post(gateway, &format!("{API}/snapshot"), body).await;
    assert_eq!(cold.status, StatusCode::OK, "{}", cold.text());
    assert_eq!(cold.json()["data"].as_array().unwrap().len(), 2);
    let warm = post(gateway, &format!("{API}/snapshot/"), body).await;
    assert_eq!((warm.node(), warm.text()), (cold.node(), cold.text()));
    assert_eq!(
        (cold.header("x-kamaitachi-cache"), warm.header("x-kamaitachi-cache")),
        ("miss", "hit")
    );
    let direct = post(demo.addr("slave 3"), "/kamaitachi/api/data/v1/snapshot", body).await;
    assert_eq!(direct.text(), cold.text(), "all nodes hold the same data");

    let stats =
        send(gateway, request(Method::GET, "/kamaitachi/api/data/v1/stats", "")).await.json();
    assert_eq!(stats["data"]["unreachable"], json!([]));
    // Whether the node that was asked directly is the owner depends on its port.
    let count = |name: &str| stats["data"]["aggregate"][name].as_u64().unwrap();
    assert_eq!(count("hits") + count("misses"), 3);
    assert!(count("hits") >= 1 && count("entries") >= 2, "{stats}");
    let reset = post(gateway, "/kamaitachi/api/data/v1/cache/reset?clear=true", "").await.json();
    assert_eq!(reset["status_msg"], "Sent reset command to 3 of 3 nodes.");
    let stats =
        send(gateway, request(Method::GET, "/kamaitachi/api/data/v1/stats", "")).await.json();
    assert_eq!(stats["data"]["aggregate"]["entries"], 0);
    assert_eq!(demo.end(), Some(0));
}

#[tokio::test]
async fn writes_go_to_the_master_through_the_gateway_and_slaves_refuse_them() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &[]);
    let (gateway, master) = (demo.addr("gateway"), demo.addr("master"));
    let row = r#"{"id":"demo-1","data":{"1672502400":[1.5]},"createTime":"2024-01-01 00:00:00"}"#;
    let saved = post(gateway, "/data/v1/save?id=1", row).await;
    assert_eq!((saved.status, saved.node()), (StatusCode::OK, &*master.to_string()));
    assert_eq!(saved.json()["data"], true);
    assert!(!saved.header("x-kamaitachi-revision").is_empty());
    let there = send(master, request(Method::GET, "/data/v1/get/demo-1?tableId=1", "")).await;
    assert_eq!(there.json()["data"]["id"], "demo-1");

    let mut lines = request(
        Method::POST,
        &format!("{API}/ingest"),
        "{\"subject\":\"33:00000009\",\"report_date\":1767139200,\"data\":{\"net_profit\":7}}\n",
    );
    lines.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
    let ingested = send(gateway, lines).await;
    assert_eq!((ingested.status, ingested.node()), (StatusCode::OK, &*master.to_string()));
    assert_eq!(ingested.json()["data"]["rows"], 1);

    let delete = request(Method::DELETE, "/data/v1/delete/demo-1/?tableId=1", "");
    let deleted = send(gateway, delete).await;
    assert_eq!((deleted.status, deleted.node()), (StatusCode::OK, &*master.to_string()));
    let refused = post(demo.addr("slave 1"), "/data/v1/save?id=1", row).await;
    assert_eq!(refused.status, StatusCode::MISDIRECTED_REQUEST);
    assert!(refused.text().contains(&master.to_string()), "{}", refused.text());
}

#[tokio::test]
async fn a_folder_is_used_again_with_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let row = r#"{"id":"kept-1","data":{"1672502400":[1.5]}}"#;
    let demo = Demo::start(dir.path(), &[]);
    assert_eq!(post(demo.addr("gateway"), "/data/v1/save?id=1", row).await.status, StatusCode::OK);
    assert_eq!(demo.end(), Some(0));
    let demo = Demo::start(dir.path(), &[]);
    let got = request(Method::GET, "/data/v1/get/kept-1?tableId=1", "");
    assert_eq!(send(demo.addr("master"), got).await.json()["data"]["id"], "kept-1");
}

/// Sends what a command of the guide would make curl send.
async fn as_curl(command: &str) -> Answer {
    let (_, url) = command.split_once("http://").unwrap();
    let url = url.split_whitespace().next().unwrap();
    let (addr, path) = url.split_once('/').unwrap();
    let (addr, path) = (addr.parse().unwrap(), format!("/{path}"));
    match command.split_once(" -d '") {
        Some((head, body)) => {
            assert!(head.contains("-H 'Content-Type: application/json'"));
            post(addr, &path, body.trim_end_matches('\'')).await
        }
        None => send(addr, request(Method::GET, &path, "")).await,
    }
}

#[tokio::test]
async fn what_the_guide_says_to_try_works() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &["--lift-limits"]);
    let guide = demo.guide.join("\n").replace("\\\n", "");
    let commands: Vec<_> = guide.lines().filter(|line| line.contains("curl -s")).collect();
    assert!(commands.len() >= 3, "{guide}");
    for command in commands {
        let answer = as_curl(command).await;
        assert_eq!(answer.status, StatusCode::OK, "{command}\n{}", answer.text());
        assert!(answer.body.len() > 50, "{command}\n{}", answer.text());
    }
    // The limit of this route is 500 at once.
    let period = r#"{"subjects":"33:00000009","from":1672531200,"to":1704067199}"#;
    for _ in 0..550 {
        let answer = post(demo.addr("gateway"), &format!("{API}/period"), period).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let metrics = send(demo.addr("admin"), request(Method::GET, "/metrics", "")).await;
    assert!(metrics.text().contains("kamaitachi_gateway_requests_total"));
}

#[tokio::test]
async fn the_key_of_the_load_harness_lifts_limits_for_those_who_send_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &[]);
    let gateway = demo.addr("gateway");
    // The limit of this route is 500 at once, then 300 a second.
    let ask = |key: Option<&'static str>| {
        let path = format!("{API}/period");
        let body = r#"{"subjects":"33:00000009","from":1672531200,"to":1672531201}"#;
        let mut request = request(Method::POST, &path, body);
        if let Some(key) = key {
            request.headers_mut().insert("x-kamaitachi-limit-key", key.parse().unwrap());
        }
        send(gateway, request)
    };
    for _ in 0..15 {
        let key = Some("kamaitachi-embedded-cluster");
        let answers = futures_util::future::join_all((0..100).map(|_| ask(key))).await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "{answers:?}");
    }
    // Many at a time: a busy machine answers fewer than those 300 one after the other.
    for _ in 0..60 {
        let answers = futures_util::future::join_all((0..100).map(|_| ask(None))).await;
        if answers.iter().any(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS) {
            return;
        }
    }
    panic!("nobody was limited");
}

#[tokio::test]
async fn what_a_client_saved_it_reads_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &[]);
    let at = demo.addr("gateway");
    let mut stale = 0;
    for turn in 0..50 {
        let body = json!({"id": format!("note-{turn}"), "data": {"1703980800": [turn]}});
        let saved = send(at, request(Method::POST, "/data/v1/save?id=1", body.to_string())).await;
        assert_eq!(saved.status, StatusCode::OK, "{}", saved.text());
        let path = format!("/data/v1/get/note-{turn}?tableId=1");
        let read = send(at, request(Method::GET, &path, "")).await;
        stale += u32::from(!read.text().contains(&format!("[{turn}]")));
    }
    // A read waits a moment for the write and no more, and on a busy machine it may take longer.
    assert!(stale <= 5, "{stale} of 50 reads were older than the write before them");
    assert_eq!(demo.end(), Some(0));
}
