//! The whole cluster as processes: etcd, a master, two slaves, the gateway.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::{Method, StatusCode};
use kamaitachi_discovery::testing::Etcd;
use serde_json::{Value, json};

use crate::harness::{Answer, about, request, send};

/// A process that ends with its value.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
}

impl Process {
    /// Starts a program, and waits until it says in its log, under `key`, where it listens.
    pub(crate) fn start(program: &Path, file: &Path, key: &str) -> Self {
        let mut child = Command::new(program)
            .arg("--config")
            .arg(file)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let addr = lines
            .find_map(|line| {
                let said: Value = serde_json::from_str(&line).ok()?;
                said[key].as_str()?.parse().ok()
            })
            .expect("it says where it listens");
        // Whoever no longer listens would stop it at its next line.
        std::thread::spawn(move || lines.count());
        Self { child, addr }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Ends it with SIGTERM, and answers with which code it ended.
    async fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        tokio::task::spawn_blocking(move || self.child.wait().unwrap().code()).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of a node, beside the gateway's; built where it is missing.
pub(crate) fn node_program() -> PathBuf {
    let gateway = PathBuf::from(env!("CARGO_BIN_EXE_kamaitachi-gateway"));
    let program = gateway.with_file_name("kamaitachi-node");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "-q", "-p", "kamaitachi-node", "--bin", "kamaitachi-node"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the node can be built");
    }
    program
}

fn node(etcd: &Etcd, dir: &Path, mode: &str, number: u8) -> Process {
    let file = dir.join(format!("{mode}{number}.toml"));
    let text = format!(
        "[server]\nmode = '{mode}'\nport = 0\nworkers = 1\nleave_wait = '500ms'\n\
         [database]\npath = '{}'\n[etcd]\nendpoints = '{}'\nttl = 2\n[log]\nformat = 'json'\n",
        dir.join(format!("{mode}{number}.db")).display(),
        etcd.endpoint()
    );
    std::fs::write(&file, text).unwrap();
    Process::start(&node_program(), &file, "address")
}

fn gateway(etcd: &Etcd, dir: &Path) -> Process {
    let file = dir.join("gateway.toml");
    let text = format!(
        "[server]\nport = 0\nworkers = 1\n[admin]\nport = 0\n[etcd]\nendpoints = '{}'\n\
         [discovery]\ncache = '{}'\n[log]\nformat = 'json'\n",
        etcd.endpoint(),
        dir.join("members.json").display()
    );
    std::fs::write(&file, text).unwrap();
    Process::start(Path::new(env!("CARGO_BIN_EXE_kamaitachi-gateway")), &file, "public")
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    send(addr, request(Method::GET, path, "")).await
}

/// Waits until the gateway knows just these nodes.
pub(crate) async fn until_nodes(gateway: &Process, nodes: &[&Process]) {
    let mut expected: Vec<_> = nodes.iter().map(|node| node.addr.to_string()).collect();
    expected.sort();
    let mut known = Value::Null;
    for _ in 0..6_000 {
        known = get(gateway.addr, "/health").await.json();
        if known["nodes"] == json!(expected) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until the nodes are {expected:?}: {known}");
}

/// A read about some subject; it must go well whatever happens to the nodes.
pub(crate) async fn read(gateway: &Process, number: u32) {
    let body = about(&format!("33:{number:06}"));
    let path = "/data/kamaitachi/api/data/v1/snapshot";
    let mut request = request(Method::POST, path, body);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let answer = send(gateway.addr, request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn processes_find_each_other_and_go_on_while_parts_of_them_die() {
    let (mut etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let gateway_process = gateway(&etcd, dir.path());
    let master = node(&etcd, dir.path(), "master", 0);
    let [a, b] = [1, 2].map(|number| node(&etcd, dir.path(), "slave", number));
    until_nodes(&gateway_process, &[&a, &b]).await;
    let health = get(gateway_process.addr, "/health").await.json();
    assert_eq!(health["discovery"]["source"], "etcd");
    for number in 0..20 {
        read(&gateway_process, number).await;
    }
    let save = json!({"id": "x", "data": {"1": [1]}}).to_string();
    let mut write = request(Method::POST, "/data/v1/save?id=1", save);
    write.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let written = send(gateway_process.addr, write).await;
    assert_eq!((written.status, written.node()), (StatusCode::OK, &*master.addr.to_string()));

    // One slave is stopped: it leaves at once, and no request is lost while it does.
    let stopping = tokio::spawn(b.stop());
    for number in 0..100 {
        read(&gateway_process, number).await;
    }
    until_nodes(&gateway_process, &[&a]).await;
    assert_eq!(stopping.await.unwrap(), Some(0));

    // Another comes, and dies: it is gone with its lease.
    let mut c = node(&etcd, dir.path(), "slave", 3);
    until_nodes(&gateway_process, &[&a, &c]).await;
    c.child.kill().unwrap();
    until_nodes(&gateway_process, &[&a]).await;

    // The gateway is stopped while etcd goes on and forgets what the gateway would need to catch up.
    gateway_process.signal("STOP");
    let d = node(&etcd, dir.path(), "slave", 4);
    let mut client = etcd.client().await;
    let registered = format!("/services/kamaitachi-slave/{}", d.addr);
    while client.get(registered.as_str(), None).await.unwrap().count() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let last = client.put("/other", "x", None).await.unwrap().header().unwrap().revision();
    client.compact(last, None).await.unwrap();
    gateway_process.signal("CONT");
    until_nodes(&gateway_process, &[&a, &d]).await;

    // etcd dies; the gateway is started anew all the same.
    etcd.kill();
    read(&gateway_process, 1).await;
    assert_eq!(gateway_process.stop().await, Some(0));
    let gateway_process = gateway(&etcd, dir.path());
    until_nodes(&gateway_process, &[&a, &d]).await;
    read(&gateway_process, 2).await;
    assert_eq!(get(gateway_process.addr, "/health").await.json()["discovery"]["source"], "disk");

    // It comes back empty, and is filled again.
    etcd.wipe();
    etcd.restart().await;
    for _ in 0..6_000 {
        let health = get(gateway_process.addr, "/health").await.json();
        assert_eq!(health["count"], 2, "{health}");
        let discovery = &health["discovery"];
        if discovery["source"] == "etcd" && discovery["held"].is_null() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("etcd was not believed again");
}
