//! `make cluster` and `make cluster-stop`: separate processes that find each other through etcd.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use http::Method;

use crate::harness::{request, send};

/// The script with places of its own: free ports, an empty directory, the programs of this build.
struct Cluster {
    dir: tempfile::TempDir,
    ports: Vec<(&'static str, u16)>,
}

impl Cluster {
    fn new() -> Self {
        let names = [
            "ETCD_PORT",
            "ETCD_PEER_PORT",
            "MASTER_PORT",
            "SLAVE1_PORT",
            "SLAVE2_PORT",
            "GATEWAY_PORT",
            "ADMIN_PORT",
        ];
        let held = names.map(|name| (name, TcpListener::bind("127.0.0.1:0").unwrap()));
        let ports = held.iter().map(|(name, held)| (*name, held.local_addr().unwrap().port()));
        Self { ports: ports.collect(), dir: tempfile::tempdir().unwrap() }
    }

    fn run(&self, what: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_kamaitachi-gateway"));
        let mut command = Command::new(root.join("conf/cluster/run"));
        command.arg(what).env("RUN", self.dir.path()).env("BIN", bin.parent().unwrap());
        command.env("STOCKS", "50").env_remove("RUST_LOG");
        command.envs(self.ports.iter().map(|(name, port)| (name, port.to_string())));
        let Output { status, stdout, stderr } = command.output().unwrap();
        assert!(status.success(), "{what}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn gateway(&self) -> std::net::SocketAddr {
        let (_, port) = self.ports.iter().find(|(name, _)| *name == "GATEWAY_PORT").unwrap();
        ([127, 0, 0, 1], *port).into()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Also where the test failed: nothing is left behind.
        self.run("stop");
    }
}

#[tokio::test]
async fn the_cluster_script_starts_what_it_says_and_ends_exactly_that() {
    let cluster = Cluster::new();
    let said = cluster.run("start");
    assert!(said.contains(&format!("gateway {}", cluster.gateway())), "{said}");
    assert_eq!(cluster.run("status").matches(" runs, process ").count(), 5);
    let gateway = cluster.gateway();

    let health = send(gateway, request(Method::GET, "/health", "")).await;
    assert!(health.text().contains("\"count\":2"), "{}", health.text());
    let body = r#"{"subjects":"33:00000009","ids":"operating_income"}"#;
    let path = "/data/kamaitachi/api/data/v1/snapshot";
    let answer = send(gateway, request(Method::POST, path, body)).await;
    assert!(answer.text().contains("\"subject\":\"33:00000009\""), "{}", answer.text());

    // What the master takes, the slaves answer: at once, for whoever says how new it must be.
    let body = r#"{"id":"note","data":{"1703980800":[1,2]}}"#;
    let saved = send(gateway, request(Method::POST, "/data/v1/save?id=1", body)).await;
    assert!(saved.text().contains("\"data\":true"), "{}", saved.text());
    let revision = saved.headers["x-kamaitachi-revision"].clone();
    let mut read = request(Method::GET, "/data/v1/get/note?tableId=1", "");
    read.headers_mut().insert("x-kamaitachi-min-revision", revision);
    let answer = send(gateway, read).await;
    assert!(answer.text().contains("\"1703980800\":[1,2]"), "{}", answer.text());

    cluster.run("stop");
    assert_eq!(cluster.run("status").matches(" does not run").count(), 5);
}
