//! A gateway process that may not open what it needs.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::{Method, StatusCode};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::harness::{Node, Reply, about, connect, request, send, until, whole};

const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";
const CLIENTS: usize = 40;

struct Process(Child);

impl Process {
    /// In front of these nodes, and what it said of its addresses.
    fn start(nodes: &[Node]) -> (Self, Value) {
        let nodes: Vec<_> = nodes.iter().map(|node| node.addr.to_string()).collect();
        let mut child = Command::new(env!("CARGO_BIN_EXE_kamaitachi-gateway"))
            .env("KAMAITACHI__SERVER__PORT", "0")
            .env("KAMAITACHI__SERVER__WORKERS", "1")
            .env("KAMAITACHI__ADMIN__PORT", "0")
            .env("KAMAITACHI__HEALTH__INTERVAL", "20ms")
            .env("KAMAITACHI__UPSTREAM__NODES", nodes.join(","))
            .env("KAMAITACHI__LOG__FORMAT", "json")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let process = Self(child);
        let serving =
            lines.find(|line| line.contains("\"serving\"")).expect("it says that it serves");
        std::thread::spawn(move || lines.count());
        (process, serde_json::from_str(&serving).unwrap())
    }

    /// Lets it have as many more descriptors as this, or all.
    fn may_open(&self, more: Option<usize>) {
        let pid = Pid::from_child(&self.0);
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap();
        let used = fds.filter_map(|fd| fd.unwrap().file_name().to_str()?.parse::<u64>().ok());
        let used: HashSet<_> = used.collect();
        let mut free = (0..).filter(|number| !used.contains(number));
        let now = rustix::process::getrlimit(Resource::Nofile);
        // Numbers from here on are not given out.
        let current = more.map_or(now.current, |more| free.nth(more));
        prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum: now.maximum }).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both nodes were taken for dead, and their breakers opened, because the gateway had no descriptors left.
#[tokio::test]
async fn a_gateway_without_descriptors_says_so_and_blames_no_node() {
    let node = || {
        Node::scripted(|seen| {
            let is_read = seen.target.ends_with("snapshot");
            Reply::ok("ok").after(Duration::from_secs(u64::from(is_read)))
        })
    };
    let nodes = [node().await, node().await];
    let (process, said) = Process::start(&nodes);
    let addr = said["public"].as_str().unwrap().parse().unwrap();
    let get = |target| send(addr, request(Method::GET, target, ""));
    until("it is ready", || async { get("/readyz").await.json()["nodes_up"] == 2 }).await;

    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = connect(addr).await;
        whole(client.send_request(request(Method::GET, "/healthz", "")).await.unwrap()).await;
        clients.push(client);
    }
    process.may_open(Some(4));
    let asked = clients.into_iter().enumerate().map(|(i, mut client)| {
        tokio::spawn(async move {
            client.ready().await.unwrap();
            let body = about(&format!("33:{i:06}"));
            whole(client.send_request(request(Method::POST, SNAPSHOT, body)).await.unwrap()).await
        })
    });
    let mut refused = 0;
    for answer in asked.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            refused += 1;
            assert_eq!(answer.json()["message"], "the gateway has too many requests");
            assert_eq!(answer.header("retry-after"), "1");
        } else {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
    }
    process.may_open(None);
    assert!(refused > 0);

    let status = get("/monitor/status").await.json()["data"].clone();
    assert!(status["nodes"].as_array().unwrap().iter().all(|node| node["up"] == true), "{status}");
    let breakers = status["circuit_breakers"].as_object().unwrap();
    assert!(breakers.values().all(|breaker| breaker["failures"] == 0), "{status}");
    let admin = said["admin"].as_str().unwrap().parse().unwrap();
    let metrics = send(admin, request(Method::GET, "/metrics", "")).await;
    let mut ejections = metrics.text().lines().filter(|l| l.contains("_ejections_total{"));
    assert!(ejections.all(|line| line.ends_with(" 0")), "{}", metrics.text());
    let counted = format!("code=\"503\",reason=\"exhausted\"}} {refused}");
    assert!(metrics.text().contains(&counted), "{}", metrics.text());
}
