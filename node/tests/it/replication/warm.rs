//! Slaves that follow a master, and take over what they own when they start from a copy.

use kamaitachi_discovery::{Found, testing::Etcd};
use kamaitachi_node::config::Config;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{addr, directory, has_started_from_copies, in_step, slave_with, until};
use crate::{
    hand_over::{SUBJECTS, ask, cache, entries, owned, settings, subject},
    support::{Q1, RESET, Running, row},
};

async fn master() -> Running {
    let master = Running::master().await;
    let one = |n| row(&subject(n), Q1, json!({"net_profit": n}));
    let rows: Vec<Value> = (0..SUBJECTS).map(one).collect();
    master.client.ingest(&rows).await;
    master
}

async fn warm(node: &Running) {
    for n in 0..SUBJECTS {
        assert_eq!(cache(&ask(node, &subject(n)).await), "miss");
    }
}

/// What a node owns of a ring of two is known to it, and nothing else is.
async fn expect_own(node: &Running, other: &Running) {
    let own = owned(&[node, other], node);
    assert!(!own.is_empty() && own.len() < SUBJECTS);
    assert_eq!(entries(node).await, own.len() as u64);
    for subject in &own {
        let answer = ask(node, subject).await;
        assert_eq!(cache(&answer), "hit", "{subject}");
        assert_eq!(answer.data(), ask(other, subject).await.data());
    }
}

#[tokio::test]
async fn a_slave_whose_store_is_exchanged_takes_over_again() {
    let master = master().await;
    let members = watch::channel(Vec::new().into()).0;
    let with_peers = |config: &mut Config| config.peers = Some(settings(members.subscribe()));
    let at = addr(&master).await;
    let one = slave_with(&at, directory(), with_peers).await;
    let two = slave_with(&at, directory(), with_peers).await;
    let both = [addr(&one).await, addr(&two).await];
    members.send_replace(both.iter().map(|addr| addr.parse().unwrap()).collect());
    in_step(&master, &one).await;
    warm(&one).await;
    assert_eq!(entries(&two).await, 0, "there was nothing when it joined");
    // Others write to its file, which is then none of the master's any more.
    let conn = rusqlite::Connection::open(two.db()).unwrap();
    conn.execute("UPDATE finance_data SET net_profit = -1", []).unwrap();
    drop(conn);
    until("it starts from a copy again", async || has_started_from_copies(&two.client, 2).await)
        .await;
    in_step(&master, &two).await;
    expect_own(&two, &one).await;
}

#[tokio::test]
async fn a_slave_finds_through_etcd_whom_to_take_over_from() {
    let etcd = Etcd::start().await;
    let master = master().await;
    let with_etcd = |config: &mut Config| {
        config.etcd = Some(etcd.settings());
        config.server.leave_wait = std::time::Duration::ZERO;
        let mut peers = settings(watch::channel(Vec::new().into()).1);
        peers.nodes = Found::fixed(Vec::new());
        config.peers = Some(peers);
    };
    let at = addr(&master).await;
    let one = slave_with(&at, directory(), with_etcd).await;
    until("the first is registered", async || one.client.get("/readyz").await.status == 200).await;
    in_step(&master, &one).await;
    warm(&one).await;
    let two = slave_with(&at, directory(), with_etcd).await;
    expect_own(&two, &one).await;
    // And whom to hand over to.
    let former = owned(&[&one, &two], &two);
    one.client.post(&format!("{RESET}?clear=true"), &json!({})).await.data();
    until("the second is registered", async || two.client.get("/readyz").await.status == 200).await;
    two.stop().await;
    assert_eq!(entries(&one).await, former.len() as u64);
    for subject in &former {
        assert_eq!(cache(&ask(&one, subject).await), "hit", "{subject}");
    }
}
