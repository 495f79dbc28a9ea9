//! A peer that does not answer for a while.

use std::time::Duration;

use bytes::Bytes;
use kamaitachi_node::group::proto;
use tokio::time::{Instant, sleep, timeout};

use super::{client, start};
use crate::rig::http::PATIENCE;

const QUEUE: u64 = 1000;
const SETS: usize = 8000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_peer_costs_a_bounded_queue_and_no_caller_anything() {
    let ports = {
        let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        free.map(|free| free.local_addr().unwrap().port())
    };
    let nodes = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
    let entries = QUEUE.to_string();
    let env =
        [("KAMAITACHI__PEERS__NODES", &*nodes), ("KAMAITACHI__SYNC__QUEUE_ENTRIES", &entries)];
    let [here, there] = ports.map(|port| start(port, &env));
    let (mut client, mut other) = (client::of(here.addr), client::of(there.addr));
    there.signal("STOP");
    let (mut deepest, mut slowest, before) = (0, Duration::ZERO, here.status("VmRSS"));
    for n in 0..SETS {
        let (key, value) = (format!("key{n}"), Bytes::from(vec![7; 100]));
        let asked = Instant::now();
        let set = proto::SetRequest { key, value, ..Default::default() };
        assert!(client.set(set).await.unwrap().get_ref().satisfied);
        slowest = slowest.max(asked.elapsed());
        if n % 500 == 0 {
            let peers = client.peers(proto::PeersRequest::default()).await.unwrap().into_inner();
            deepest = peers.peers.iter().map(|peer| peer.queue_entries).max().unwrap().max(deepest);
        }
    }
    let peers = client.peers(proto::PeersRequest::default()).await.unwrap().into_inner().peers;
    let stopped = peers.iter().find(|peer| peer.addr == there.addr.to_string()).unwrap();
    assert!(deepest <= QUEUE && stopped.queue_entries <= QUEUE, "{deepest}, {stopped:?}");
    assert!(stopped.dropped > 0, "{stopped:?}");
    println!("slowest set {slowest:?}, {} KiB more", here.status("VmRSS").saturating_sub(before));
    // Far less than a peer is waited for, on however busy a machine.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    there.signal("CONT");
    let caught_up = async {
        loop {
            let stats = other.stats(proto::StatsRequest::default()).await;
            if stats.is_ok_and(|stats| stats.get_ref().entries == SETS as u64) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, caught_up).await.expect("what had no room is told when it answers again");
}
