//! The program from its start to its end, by every way it can end.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use kamaitachi_node::{
    Node, StartError,
    config::{Config, Role},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Client, INGEST, Running, SNAPSHOT, STATS, row};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kamaitachi-node");

/// The program as a process, killed when the test is over.
struct Process {
    child: Child,
    client: Client,
    serves: Value,
    log: mpsc::Receiver<String>,
}

impl Process {
    /// Starts it on a free port and waits until it says that it serves.
    fn start(db: &Path, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("--db").arg(db).env("KAMAITACHI__SERVER__PORT", "0");
        command.env("KAMAITACHI__LOG__FORMAT", "json").envs(more.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let serves = loop {
            let line =
                log.recv_timeout(Duration::from_secs(60)).expect("it serves or says why not");
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if event["message"] == "node serves" {
                break event;
            }
        };
        let client = Client::to(serves["address"].as_str().unwrap());
        Self { child, client, serves, log }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the end and tells the exit code and what was logged since.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().unwrap().code();
        // All of it: until the one who reads it has come to its end.
        (code, self.log.iter().collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    for round in 0..3 {
        let node = Process::start(&db, &[]);
        let before = node.client.get(STATS).await.data();
        assert_eq!(before["total_records"], json!(round * 50), "{before}");
        let mut acknowledged = 0;
        for n in 0..50 {
            let subject = format!("33:{round}{n:05}");
            let line = row(&subject, 86_400, json!({"operating_income": n})).to_string();
            let answer = node.client.post_text(INGEST, "application/x-ndjson", line).await.data();
            acknowledged = answer["revision"].as_u64().unwrap();
        }
        node.signal("-KILL");
        let (code, _) = node.end();
        assert_eq!(code, None, "killed");
        let again = Process::start(&db, &[]);
        let after = again.client.get(STATS).await.data();
        assert_eq!(after["total_records"], json!((round + 1) * 50));
        assert!(after["revision"].as_u64().unwrap() >= acknowledged);
        let ask = json!({"subjects": format!("33:{round}00049"), "ids": "operating_income"});
        let data = again.client.post(SNAPSHOT, &ask).await.data();
        assert_eq!(data[0]["data"]["operating_income"], json!(49.0));
        again.signal("-TERM");
        assert_eq!(again.end().0, Some(0));
    }
}

#[tokio::test]
async fn a_signal_drains_and_ends_with_0() {
    for signal in ["-TERM", "-INT"] {
        let dir = tempfile::tempdir().unwrap();
        let node =
            Process::start(&dir.path().join("node.db"), &[("KAMAITACHI__SERVER__MODE", "slave")]);
        assert_eq!(node.serves["mode"], "slave");
        assert!(node.serves["file"].as_str().unwrap().ends_with("node.db"));
        assert_eq!(node.client.get("/readyz").await.status, 200);
        node.signal(signal);
        let (code, log) = node.end();
        assert_eq!(code, Some(0), "{log:#?}");
        assert!(log.iter().any(|line| line.contains("node stopped")), "{log:#?}");
    }
}

#[tokio::test]
async fn sigusr2_saves_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("node.db"), &[]);
    node.signal("-USR2");
    while !node.log.recv_timeout(Duration::from_secs(60)).unwrap().contains("cache snapshot saved")
    {
    }
    let files = std::fs::read_dir(dir.path().join("node.db.snapshots")).unwrap();
    assert_eq!(files.count(), 1);
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight() {
    let Running { node, client, dir: _dir } = Running::master().await;
    let mut slow = TcpStream::connect(node.local_addr()).await.unwrap();
    let body = r#"{"subjects":"33:000001"}"#;
    let head =
        format!("POST {SNAPSHOT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&body.as_bytes()[..10]).await.unwrap();
    // Another request passes behind it, so the first has reached its handler's side.
    client.get("/health").await;
    let drain = tokio::spawn(node.drain(tokio::time::sleep(Duration::from_secs(20))));
    let refused = async {
        while client
            .try_send(client.request(http::Method::GET, "/health").body(Full::default()).unwrap())
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it stops accepting");
    slow.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(drain.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_node_that_cannot_start_says_why() {
    let running = Running::master().await;
    let mut config = Config::embedded(Role::Master, running.dir.path().join("other.db"));
    config.server.port = running.node.local_addr().port();
    let taken = Node::start(config).await.unwrap_err();
    assert!(matches!(taken, StartError::Listen { .. }), "{taken}");
    assert!(taken.to_string().contains(&running.node.local_addr().to_string()), "{taken}");

    let file = running.dir.path().join("no.db");
    std::fs::write(&file, "this is no database, whatever its name says".repeat(50)).unwrap();
    let damaged = Node::start(Config::embedded(Role::Master, &file)).await.unwrap_err();
    assert!(damaged.to_string().contains("no.db"), "{damaged}");
    let file = file.join("below/a.db");
    let directory = Node::start(Config::embedded(Role::Master, file)).await.unwrap_err();
    assert!(matches!(directory, StartError::Directory { .. }), "{directory}");
}

#[tokio::test]
async fn many_nodes_live_in_one_process() {
    let nodes = [Running::master().await, Running::master().await, Running::master().await];
    for (n, running) in nodes.iter().enumerate() {
        running.client.ingest(&[row("33:000001", 5, json!({"operating_income": n}))]).await;
    }
    for (n, running) in nodes.into_iter().enumerate() {
        let ask = json!({"subjects": "33:000001", "ids": "operating_income"});
        let data = running.client.post(SNAPSHOT, &ask).await.data();
        let n = f64::from(u8::try_from(n).unwrap());
        assert_eq!(data[0]["data"]["operating_income"], json!(n));
        running.stop().await;
    }
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_2_and_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "[server]\nprot = 1\nport = 70000\n").unwrap();
    let path = file.to_str().unwrap();
    let (code, text) = told(&run(&["--config", path]));
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in ["bad.toml", "`server.port`", "70000"] {
        assert!(text.contains(word), "{text}");
    }
    let (code, text) = told(&run(&["check", "--config", path]));
    assert_eq!((code, text.lines().count()), (Some(2), 2), "{text}");
    assert!(text.contains("did you mean `server.port`"), "{text}");
    for wrong in [
        &["--nonsense"][..],
        &["check"],
        &["sample"],
        &["import", "--db", "x"],
        &["--config", "/none.toml"],
    ] {
        let (code, text) = told(&run(wrong));
        assert_eq!(code, Some(2), "{wrong:?}: {text}");
    }
    for right in [&["--help"][..], &["--version"], &["completions", "bash"], &["-help"]] {
        let (code, text) = told(&run(right));
        assert_eq!(code, Some(0), "{right:?}: {text}");
    }
    assert!(told(&run(&["--version"])).1.contains(env!("CARGO_PKG_VERSION")));
    let (code, text) = told(&run(&["--db", dir.path().to_str().unwrap()]));
    assert_eq!(code, Some(1), "{text}");
}

#[tokio::test]
async fn a_sample_can_be_made_checked_added_to_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("sample.db");
    let path = db.to_str().unwrap();
    let make = &[
        "sample",
        "--db",
        path,
        "--stocks",
        "20",
        "--from-year",
        "2019",
        "--to-year",
        "2020",
        "--seed",
        "7",
    ];
    let (code, text) = told(&run(make));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("160 rows of 20 subjects"), "{text}");
    let (code, text) = told(&run(make));
    assert_eq!(code, Some(1), "it is not replaced unasked: {text}");
    let csv = dir.path().join("rows.csv");
    std::fs::write(&csv, "subject,report_date,ebitda\n33:00000009,1577750400,2.5\n").unwrap();
    let import = &["import", "--db", path, "--from", csv.to_str().unwrap()];
    let (code, text) = told(&run(import));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("rows.csv") && text.contains("ebitda"), "{text}");
    let (code, text) = told(&run(&[&import[..], &["--create-indicators"]].concat()));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 rows"), "{text}");
    let (code, text) = told(&run(&["check", "--db", path]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("sound") && text.contains("ebitda"), "{text}");

    let node = Process::start(&db, &[]);
    let ask = json!({"subjects": "33:00000009", "ids": "ebitda", "timestamp": 1_577_750_400});
    let data = node.client.post(SNAPSHOT, &ask).await.data();
    assert_eq!(data[0]["data"], json!({"ebitda": 2.5}));
    let topic = json!({"topic": "stock_a_listing_pool", "limit": 100});
    assert_eq!(node.client.post(SNAPSHOT, &topic).await.data().as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    struct Bomb;
    impl http_body::Body for Bomb {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            panic!("a fault that only this test has")
        }
    }
    let running = Running::master().await;
    let service = kamaitachi_node::api::Service::new(running.node.shared_app());
    let request = http::Request::post(SNAPSHOT).body(Bomb).unwrap();
    let answer = service.answer(request).await;
    assert_eq!(answer.status(), 500);
    let request =
        http::Request::post(SNAPSHOT).body(Full::<Bytes>::from(r#"{"subjects":"x"}"#)).unwrap();
    assert_eq!(service.answer(request).await.status(), 200);
    let metrics = running.client.get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("kamaitachi_node_panics_total 1\n"));
}

#[tokio::test]
async fn a_starting_node_says_not_yet() {
    use kamaitachi_node::api::{App, Service};
    let config = Config::embedded(Role::Master, "unused.db");
    let app = App::new("here:1", Role::Master, config.rules, config.limits);
    let service = Service::new(std::sync::Arc::new(app));
    for (path, status) in [
        ("/healthz", 200),
        ("/health", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/readyz", 503),
        (STATS, 503),
    ] {
        let request = http::Request::get(path).body(Full::<Bytes>::default()).unwrap();
        let answer = service.answer(request).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503);
    }
}
