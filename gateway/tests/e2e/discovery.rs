//! Nodes that are found, with a real etcd.

use std::{net::SocketAddr, path::Path, time::Duration};

use http::{Method, StatusCode};
use kamaitachi_discovery::{
    register::{Registration, Service},
    testing::Etcd,
};
use kamaitachi_policies::{
    ramp::Share,
    ring::{DEFAULT_REPLICAS, NodeIndex, Ring, Spread},
};
use serde_json::json;

use crate::harness::{Node, Rig, about, configured, nobody, owned_by, until};

fn register(etcd: &Etcd, name: &str, addr: SocketAddr) -> Registration {
    let addr = addr.to_string().parse().unwrap();
    Registration::start(etcd.settings(), Service { name: name.to_owned(), addr })
}

fn with_etcd(etcd: &Etcd, dir: &Path, more: &str) -> String {
    let (endpoint, cache) = (etcd.endpoint(), dir.join("members.json"));
    format!("[etcd]\nendpoints = '{endpoint}'\n[discovery]\ncache = '{}'\n{more}", cache.display())
}

async fn nodes(rig: &Rig) -> Vec<SocketAddr> {
    let health = rig.get("/health").await.json();
    let nodes = health["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node.as_str().unwrap().parse().unwrap()).collect()
}

async fn until_nodes(rig: &Rig, expected: &[SocketAddr]) {
    let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    expected.sort();
    until(&format!("the nodes are {expected:?}"), async || {
        nodes(rig).await.iter().map(ToString::to_string).eq(expected.iter().cloned())
    })
    .await;
}

#[tokio::test]
async fn slaves_and_master_come_from_etcd_and_go_with_it_but_not_when_it_is_away() {
    let (mut etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let (a, b, master) = (Node::start().await, Node::start().await, Node::start().await);
    let rig = Rig::with(configured(&[], None, &with_etcd(&etcd, dir.path(), "")));
    assert_eq!(rig.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.post("/data/v1/save", "{}").await.status, StatusCode::SERVICE_UNAVAILABLE);

    let _a = register(&etcd, "kamaitachi-slave", a.addr);
    let leaving = register(&etcd, "kamaitachi-slave", b.addr);
    let _master = register(&etcd, "kamaitachi-master", master.addr);
    until_nodes(&rig, &[a.addr, b.addr]).await;
    until("the master is known", async || {
        rig.get("/health").await.json()["master"]["node"] == json!(master.addr)
    })
    .await;
    assert_eq!(rig.get("/readyz").await.status, StatusCode::OK);
    let subject = owned_by(b.addr, &[a.addr, b.addr]);
    let path = "/data/kamaitachi/api/data/v1/snapshot";
    assert_eq!(rig.post(path, about(&subject)).await.node(), b.addr.to_string());
    assert_eq!(rig.post("/data/v1/save", "{}").await.node(), master.addr.to_string());

    assert!(leaving.deregister().await);
    until_nodes(&rig, &[a.addr]).await;
    assert_eq!(rig.post(path, about(&subject)).await.node(), a.addr.to_string());

    etcd.kill();
    until("it is noticed", async || {
        rig.get("/health").await.json()["discovery"]["connected"] == false
    })
    .await;
    let health = rig.get("/health").await.json();
    assert_eq!(health["discovery"]["source"], "etcd");
    assert!(
        health["discovery"]["age_seconds"].is_u64() && health["discovery"]["trouble"].is_string()
    );
    assert_eq!(rig.post(path, about(&subject)).await.status, StatusCode::OK);
    let metrics = rig.admin("/metrics").await;
    for line in [
        "kamaitachi_ring_members 1",
        "kamaitachi_discovery_connected{nodes=\"slaves\"} 0",
        "kamaitachi_discovery_refused_total{nodes=\"slaves\"} 0",
        "kamaitachi_discovery_holds_total{nodes=\"slaves\"} 0",
    ] {
        assert!(metrics.text().lines().any(|said| said == line), "{line}\n{}", metrics.text());
    }
    for name in [
        "ring_epoch_total",
        "discovery_last_sync_timestamp_seconds{nodes=\"slaves\",source=\"etcd\"}",
    ] {
        assert!(metrics.text().contains(&format!("\nkamaitachi_{name} ")), "{name}");
    }
}

#[tokio::test]
async fn of_two_masters_the_first_by_its_address_takes_writes_and_the_other_is_told_of() {
    let (etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let (one, two) = (Node::start().await, Node::start().await);
    // As text, which is what all gateways agree on.
    let [first, second] =
        if one.addr.to_string() < two.addr.to_string() { [&one, &two] } else { [&two, &one] };
    let rig = Rig::with(configured(&[], None, &with_etcd(&etcd, dir.path(), "")));
    let master = async || rig.get("/health").await.json()["master"].clone();
    let metric = async |line: &str| rig.admin("/metrics").await.text().lines().any(|l| l == line);
    let _second = register(&etcd, "kamaitachi-master", second.addr);
    until("one is known", async || master().await["node"] == json!(second.addr)).await;
    assert!(master().await["warning"].is_null() && metric("kamaitachi_masters 1").await);

    let rival = register(&etcd, "kamaitachi-master", first.addr);
    until("both are known", async || master().await["ignored"] == json!([second.addr])).await;
    assert!(master().await["warning"].is_string() && metric("kamaitachi_masters 2").await);
    assert_eq!(master().await["node"], json!(first.addr));
    for _ in 0..4 {
        assert_eq!(rig.post("/data/v1/save", "{}").await.node(), first.addr.to_string());
    }

    assert!(rival.deregister().await);
    until("one is left", async || master().await["node"] == json!(second.addr)).await;
    assert!(master().await["ignored"].is_null() && metric("kamaitachi_masters 1").await);
    until("writes go there", async || {
        rig.post("/data/v1/save", "{}").await.node() == second.addr.to_string()
    })
    .await;
}

#[tokio::test]
async fn a_gateway_starts_from_its_copy_while_etcd_is_down_and_says_so() {
    let (mut etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let (a, master) = (Node::start().await, Node::start().await);
    let text = with_etcd(&etcd, dir.path(), "hold = '1s'\n");
    let listed = nobody().await;
    let rig = Rig::with(configured(&[listed], None, &text));
    let registrations = [
        register(&etcd, "kamaitachi-slave", a.addr),
        register(&etcd, "kamaitachi-master", master.addr),
    ];
    let copy = || std::fs::read_to_string(dir.path().join("members.json")).unwrap_or_default();
    until("both are saved", async || {
        let has = |addr: SocketAddr| copy().contains(&format!("\"{addr}\""));
        // What was only listed is kept for a while, as if it had been known, and given up.
        has(a.addr) && has(master.addr) && !has(listed)
    })
    .await;
    drop(rig);
    etcd.kill();

    let rig = Rig::with(configured(&[listed], None, &text));
    assert_eq!(nodes(&rig).await, [a.addr], "the copy goes before the list");
    assert_eq!(rig.get("/data/x").await.node(), a.addr.to_string());
    assert_eq!(rig.post("/data/v1/save", "{}").await.node(), master.addr.to_string());
    let ready = rig.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["discovery"]["source"]),
        (StatusCode::OK, &json!("disk"))
    );
    etcd.restart().await;
    until("etcd has answered", async || {
        rig.get("/readyz").await.json()["discovery"]["source"] == "etcd"
    })
    .await;
    until_nodes(&rig, &[a.addr]).await;
    drop(registrations);
}

#[tokio::test]
async fn an_etcd_that_comes_back_empty_costs_no_request() {
    let (mut etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let (a, b) = (Node::start().await, Node::start().await);
    let rig = Rig::with(configured(&[], None, &with_etcd(&etcd, dir.path(), "")));
    let registrations = [a.addr, b.addr].map(|addr| register(&etcd, "kamaitachi-slave", addr));
    until_nodes(&rig, &[a.addr, b.addr]).await;
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    until("the nodes are there again", async || {
        assert_eq!(nodes(&rig).await.len(), 2);
        let answer = rig.send(crate::harness::request(Method::GET, "/data/x", "")).await;
        assert_eq!(answer.status, StatusCode::OK);
        let health = rig.get("/health").await.json();
        let back = registrations.iter().all(|one| one.standing().times >= 2);
        back && health["discovery"]["connected"] == true && health["discovery"]["held"].is_null()
    })
    .await;
}

#[tokio::test]
async fn nodes_that_serve_are_kept_when_their_leases_end_and_not_when_somebody_deletes_them() {
    let (etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let nodes_there = [Node::start().await, Node::start().await];
    let addrs = nodes_there.each_ref().map(|node| node.addr);
    let more = "hold = '1s'\nrelist = '1s'\n[health]\nenabled = true\ninterval = '50ms'\n";
    let rig = Rig::with(configured(&[], None, &with_etcd(&etcd, dir.path(), more)));
    let [one, two] = addrs.map(|addr| register(&etcd, "kamaitachi-slave", addr));
    until_nodes(&rig, &addrs).await;
    until("both have been probed", async || {
        nodes_there.iter().all(|node| node.seen.lock().iter().any(|seen| seen.target == "/readyz"))
    })
    .await;
    assert!(one.deregister().await && two.deregister().await);
    until("one is kept", async || {
        rig.get("/health").await.json()["discovery"]["held"].as_u64().is_some_and(|held| held > 0)
    })
    .await;
    let kept = nodes(&rig).await;
    // Longer than lists are doubted.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(nodes(&rig).await, kept);
    assert_eq!(rig.get("/data/x").await.status, StatusCode::OK);
    drop(nodes_there);
    until_nodes(&rig, &[]).await;
    assert!(!kept.is_empty());

    let back = [Node::start().await, Node::start().await];
    let addrs = back.each_ref().map(|node| node.addr);
    let mut client = etcd.client().await;
    let keys = addrs.map(|addr| format!("/services/kamaitachi-slave/{addr}"));
    for (key, addr) in keys.iter().zip(addrs) {
        client.put(key.as_str(), addr.to_string(), None).await.unwrap();
    }
    until_nodes(&rig, &addrs).await;
    for key in keys {
        client.delete(key, None).await.unwrap();
    }
    until_nodes(&rig, &[]).await;
}

#[tokio::test]
async fn a_request_in_flight_to_a_node_that_leaves_is_finished() {
    let (etcd, dir) = (Etcd::start().await, tempfile::tempdir().unwrap());
    let slow = Node::scripted(|seen| {
        let wait = if seen.target.contains("slow") { 1_000 } else { 0 };
        crate::harness::Reply::ok("done").after(std::time::Duration::from_millis(wait))
    })
    .await;
    let rig = Rig::with(configured(&[], None, &with_etcd(&etcd, dir.path(), "")));
    let registration = register(&etcd, "kamaitachi-slave", slow.addr);
    until_nodes(&rig, &[slow.addr]).await;
    let (answer, ()) = tokio::join!(rig.get("/data/slow"), async {
        until("the node has it", async || {
            slow.seen.lock().iter().any(|seen| seen.target.contains("slow"))
        })
        .await;
        assert!(registration.deregister().await);
        until_nodes(&rig, &[]).await;
    });
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, "done"));
    assert_eq!(rig.get("/data/x").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_file_of_nodes_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Node::start().await, Node::start().await);
    let file = dir.path().join("nodes");
    std::fs::write(&file, format!("{} # the first\n", a.addr)).unwrap();
    let more = format!("[discovery]\nfile = '{}'\ninterval = '1s'\n", file.display());
    let rig = Rig::with(configured(&[], None, &more));
    until_nodes(&rig, &[a.addr]).await;
    std::fs::write(&file, json!([a.addr, b.addr]).to_string()).unwrap();
    until_nodes(&rig, &[a.addr, b.addr]).await;
    assert_eq!(rig.get("/health").await.json()["discovery"]["source"], "file");
}

#[tokio::test]
async fn a_node_that_joins_others_gets_its_keys_bit_by_bit_where_that_is_wanted() {
    let etcd = Etcd::start().await;
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (a, b) = (Node::start().await, Node::start().await);
    let _a = register(&etcd, "kamaitachi-slave", a.addr);
    let rig = |at: usize, more| {
        Rig::with(configured(&[], None, &with_etcd(&etcd, dirs[at].path(), more)))
    };
    let rigs = [
        rig(0, "[ring]\nslow_start = '1h'\n"),
        rig(1, "[ring]\nslow_start = '100ms'\n"),
        rig(2, ""),
    ];
    for rig in &rigs {
        until_nodes(rig, &[a.addr]).await;
    }
    let _b = register(&etcd, "kamaitachi-slave", b.addr);
    for rig in &rigs {
        until_nodes(rig, &[a.addr, b.addr]).await;
    }

    let ring = [a.addr, b.addr].map(|addr| addr.to_string());
    let ring = Ring::new(ring, DEFAULT_REPLICAS, Spread::Plain);
    let is_b = |owner: NodeIndex| ring.name(owner) == Some(&b.addr.to_string());
    let subjects: Vec<_> = (0..200)
        .map(|i| format!("33:{i:06}"))
        .filter(|key| ring.owner(key.as_bytes()).is_some_and(is_b))
        .collect();
    let path = "/data/kamaitachi/api/data/v1/snapshot";
    let who =
        async |rig: &Rig, subject: &str| rig.post(path, about(subject)).await.node().to_owned();
    // What it has after ten minutes, it may have now on a busy machine.
    let soon = Share::after(Duration::from_secs(600), Duration::from_secs(3_600));
    let mut kept = 0;
    for subject in &subjects {
        until("without a slow start, the owner", async || {
            who(&rigs[2], subject).await == b.addr.to_string()
        })
        .await;
        if Share::FIRST.takes(subject.as_bytes()) {
            until("given at once", async || who(&rigs[0], subject).await == b.addr.to_string())
                .await;
        } else if !soon.takes(subject.as_bytes()) {
            assert_eq!(who(&rigs[0], subject).await, a.addr.to_string(), "{subject}");
            kept += 1;
        }
        until("in the end, the owner", async || who(&rigs[1], subject).await == b.addr.to_string())
            .await;
    }
    assert!(kept > subjects.len() / 3, "{kept} of {}", subjects.len());
}
