//! A node and etcd.

use std::time::Duration;

use http::StatusCode;
use kamaitachi_discovery::{
    follow::{self, Settings},
    testing::Etcd,
};
use serde_json::Value;

use crate::support::{Client, Running, STATS};

async fn registration(client: &Client) -> (StatusCode, Value) {
    let answer = client.get("/readyz").await;
    let checks = answer.json()["checks"].as_array().cloned().unwrap_or_default();
    let check = checks.into_iter().find(|check| check["name"] == "registration");
    (answer.status, check.unwrap_or_default())
}

/// Waits until `/readyz` has this status and tells this of the registration.
async fn until(client: &Client, status: StatusCode, told: &str) {
    let mut last = Default::default();
    for _ in 0..3_000 {
        last = registration(client).await;
        if last.0 == status && last.1["detail"].as_str().unwrap_or_default().starts_with(told) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {status} and {told:?}: {last:?}");
}

#[tokio::test]
async fn a_node_is_ready_once_it_was_registered_and_stays_so_while_etcd_is_away() {
    let mut etcd = Etcd::start().await;
    etcd.kill();
    let node = Running::with(|config| config.etcd = Some(etcd.settings())).await;
    let client = &node.client;
    until(client, StatusCode::SERVICE_UNAVAILABLE, "not in etcd: ").await;
    assert_eq!(client.get(STATS).await.status, StatusCode::OK, "who asks directly is answered");
    etcd.restart().await;
    until(client, StatusCode::OK, "in etcd").await;
    assert_eq!(client.get(STATS).await.json()["data"]["registered"], true);
    etcd.kill();
    until(client, StatusCode::OK, "not in etcd: ").await;
    let metrics = client.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("kamaitachi_node_registered 0"), "{metrics}");
    assert!(metrics.contains("kamaitachi_node_registrations_total 1"), "{metrics}");
    etcd.restart().await;
    until(client, StatusCode::OK, "in etcd").await;
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_leaves_first_and_answers_until_word_of_it_has_gone_round() {
    let etcd = Etcd::start().await;
    let node = Running::with(|config| {
        config.etcd = Some(etcd.settings());
        config.server.leave_wait = Duration::from_secs(600);
    })
    .await;
    let found = follow::start(etcd.settings(), Settings::new("kamaitachi-master"), Vec::new());
    let mut members = found.members();
    let addr = node.node.local_addr().to_string();
    members.wait_for(|known| known.iter().any(|known| known.as_str() == addr)).await.unwrap();

    let (client, (now, cut)) = (node.client, tokio::sync::oneshot::channel::<()>());
    let stopped = tokio::spawn(node.node.drain(async move { drop(cut.await) }));
    members.wait_for(|known| known.is_empty()).await.unwrap();
    let (status, _) = registration(&client).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it takes no more traffic");
    assert_eq!(client.get(STATS).await.status, StatusCode::OK, "what still comes is answered");
    drop(now);
    stopped.await.unwrap();
}
