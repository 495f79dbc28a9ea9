use std::time::Duration;

use kamaitachi_discovery::testing::Etcd;
use kamaitachi_serve::config::Env;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::*;
use crate::group::{PeerState, SetOptions, Wait};

fn config(pairs: &[(&str, String)]) -> Config {
    let mut all = vec![
        ("KAMAITACHI__SERVER__PORT".to_owned(), "0".to_owned()),
        ("KAMAITACHI__ADMIN__PORT".to_owned(), "0".to_owned()),
        ("KAMAITACHI__PEERS__PING_INTERVAL".to_owned(), "50".to_owned()),
    ];
    all.extend(pairs.iter().map(|(key, value)| (format!("KAMAITACHI__{key}"), value.clone())));
    Config::load(None, &Env::from_pairs(all)).map_err(|error| error.report()).unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

async fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_find_each_other_through_etcd_and_leave_it_before_they_stop() {
    let etcd = Etcd::start().await;
    let with_etcd = [("ETCD__ENDPOINTS", etcd.endpoint())];
    let first = Process::start(config(&with_etcd)).await.unwrap();
    let second = Process::start(config(&with_etcd)).await.unwrap();
    until("they see each other", async || {
        let sees =
            |one: &Process| one.peers().others().iter().any(|peer| peer.state == PeerState::Alive);
        sees(&first) && sees(&second)
    })
    .await;
    let options = SetOptions { ttl: None, wait: Wait::All };
    let written = first.groups()[0].set_with("k", "v".into(), options).await.unwrap();
    assert_eq!((written.asked, written.acknowledged), (1, 1));
    assert_eq!(second.groups()[0].get("k").await.unwrap(), Some("v".into()));

    let admin = first.admin_addr().unwrap();
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/nothing").await.starts_with("HTTP/1.1 404"));
    let metrics = get(admin, "/metrics").await;
    for line in [
        "kamaitachi_group_sets_total{group=\"default\"} 1",
        "kamaitachi_group_peers{state=\"alive\"} 1",
        "outcome=\"acknowledged\"} 1",
        "kamaitachi_group_hops{group=\"default\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    let port = first.local_addr().port();
    let seen = [with_etcd.to_vec(), vec![("SERVER__PORT", port.to_string())]].concat();
    let findings = examine(&config(&seen)).await;
    assert!(findings.iter().all(|finding| finding.good), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.step == "registered"), "{findings:?}");

    let registered = async || {
        let found =
            follow::start(etcd.settings(), follow::Settings::new("kamaitachi-cache"), vec![]);
        let mut health = found.health_changes();
        health.wait_for(|health| health.synced.is_some()).await.unwrap();
        found.now().len()
    };
    assert_eq!(registered().await, 2);
    assert!(second.drain(Duration::from_secs(5)).await);
    assert_eq!(registered().await, 1);
    until("the other has heard", async || first.peers().others().is_empty()).await;
    assert!(first.drain(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn the_doctor_names_the_step_that_hangs() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    };
    let nodes = format!("{},{closed}", silent.local_addr().unwrap());
    let pairs = [("PEERS__NODES", nodes), ("SYNC__TIMEOUT", "200".to_owned())];
    let findings = examine(&config(&pairs)).await;
    let failed: Vec<_> = findings.iter().filter(|finding| !finding.good).collect();
    assert_eq!(failed.len(), 2, "{findings:?}");
    assert!(failed[0].said.contains("hangs"), "{findings:?}");
    assert!(failed[1].said.contains("no connection"), "{findings:?}");
    let etcd = [("ETCD__ENDPOINTS", closed.to_string())];
    let findings = examine(&config(&etcd)).await;
    let failed = findings.iter().find(|finding| !finding.good).unwrap();
    assert!(failed.step.starts_with("etcd at"), "{findings:?}");
}
