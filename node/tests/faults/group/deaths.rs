//! Peers that are killed and stopped while all are written to.

use std::{net::SocketAddr, time::Duration};

use kamaitachi_discovery::testing::Etcd;
use kamaitachi_node::group::proto;
use tokio::{task::JoinSet, time::sleep};

use super::{
    PLAIN,
    account::Account,
    client::{self, Writer},
    start,
};
use crate::rig::{Process, http::PATIENCE};

/// Waits until a peer sees so many members, itself counted.
async fn until_members(addr: SocketAddr, members: usize) {
    let mut client = client::of(addr);
    let wait = async {
        loop {
            let seen = client.peers(proto::PeersRequest::default()).await;
            if seen.is_ok_and(|seen| seen.get_ref().peers.len() == members) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("{addr} never saw {members} members"));
}

/// What goes wrong, one after the other, with the others at work.
async fn harm(
    peers: &mut [Option<Process>; 3],
    addrs: [SocketAddr; 3],
    env: &[(&str, &str)],
    account: &Account,
) {
    let again = |peer: usize| {
        let process = start(addrs[peer].port(), env);
        account.begins(peer);
        process
    };
    // Killed, and back at once: nobody has noticed.
    peers[0].take().unwrap().kill();
    peers[0] = Some(again(0));
    sleep(Duration::from_millis(300)).await;
    // Stopped for so long that it is left alone.
    peers[1].as_ref().unwrap().signal("STOP");
    sleep(Duration::from_secs(3)).await;
    peers[1].as_ref().unwrap().signal("CONT");
    sleep(Duration::from_millis(300)).await;
    // Killed, and back when etcd has forgotten it.
    peers[2].take().unwrap().kill();
    until_members(addrs[0], 2).await;
    peers[2] = Some(again(2));
    until_members(addrs[0], 3).await;
    // Two at a time.
    peers[0].take().unwrap().kill();
    peers[1].take().unwrap().kill();
    peers[1] = Some(again(1));
    peers[0] = Some(again(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_are_killed_and_stopped_agree_after_it_and_nothing_deleted_comes_back() {
    let etcd = Etcd::start().await;
    let endpoint = etcd.endpoint();
    let env = [("KAMAITACHI__ETCD__ENDPOINTS", &*endpoint), ("KAMAITACHI__ETCD__TTL", "2")];
    let account = Account::new(drop);
    let mut peers = [0, 1, 2].map(|peer| {
        account.begins(peer);
        Some(start(0, &env))
    });
    let addrs = peers.each_ref().map(|peer| peer.as_ref().unwrap().addr);
    for addr in addrs {
        until_members(addr, 3).await;
    }
    let mut writers = JoinSet::new();
    for (peer, addr) in addrs.into_iter().enumerate() {
        let mut writer = Writer { peer, client: client::of(addr), account: account.clone() };
        writers.spawn(async move {
            let mut turn = peer;
            while !writer.account.is_quiet() {
                writer.write(turn).await;
                turn += 1;
                sleep(Duration::from_millis(3)).await;
            }
            writer
        });
    }
    harm(&mut peers, addrs, &env, &account).await;
    account.quiet();
    let mut writers = writers.join_all().await;
    let settled = async {
        let mut agreed = 0;
        while agreed < 5 {
            let mut looked = true;
            for writer in &mut writers {
                looked &= writer.look().await.is_ok();
            }
            agreed = if looked && account.agree(PLAIN) { agreed + 1 } else { 0 };
            sleep(Duration::from_millis(200)).await;
        }
    };
    // The account says what differs, if they never agree.
    let _ = tokio::time::timeout(2 * PATIENCE, settled).await;
    let found = account.judge(PLAIN);
    println!("{found:?}");
    assert!(found.writes > 300 && found.asked > 0, "{found:?}");
}
