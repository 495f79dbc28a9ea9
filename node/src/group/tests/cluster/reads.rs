//! Gets: whose loader runs, and who is asked.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::rig::{Peer, all, bytes, cluster, counting, key_of, max_hops, until};
use crate::group::{Builder, HotKeys, SomePeers};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_one_cold_key_at_three_peers_make_one_load() {
    let loads = Arc::default();
    let peers = cluster(3, counting(&loads, Duration::from_millis(200))).await;
    let mut callers = JoinSet::new();
    for n in 0..1000 {
        let group = peers[n % 3].group.clone();
        callers.spawn(async move { group.get("cold").await.unwrap() });
    }
    for value in callers.join_all().await {
        assert_eq!(value, Some(bytes("cold")));
    }
    assert_eq!(loads.load(SeqCst), 1);
    let stats: Vec<_> = peers.iter().map(|peer| peer.group.stats()).collect();
    assert_eq!(stats.iter().map(|one| one.loads).sum::<u64>(), 1);
    assert!(stats.iter().map(|one| one.loads_shared).sum::<u64>() > 500);
    assert!(max_hops(&peers) <= 1);
}

#[tokio::test]
async fn a_miss_asks_the_owner_once_and_a_hot_key_is_copied_until_it_is_written() {
    let loads = Arc::default();
    let hot = HotKeys { max_bytes: 1 << 20, rate: 3, life: Duration::from_secs(60) };
    let make = counting(&loads, Duration::ZERO);
    let peers = cluster(2, |builder| make(builder).hot_keys(hot)).await;
    let key = key_of(&peers, 1);
    for _ in 0..10 {
        assert_eq!(peers[0].group.get(&key).await.unwrap(), Some(bytes(&key)));
    }
    let stats = peers[0].group.stats();
    assert_eq!((stats.loads, peers[1].group.stats().loads), (0, 1));
    assert!(stats.hits_hot > 0 && stats.hits_hot + stats.hits_peer == 9, "{stats:?}");
    assert_eq!(stats.misses, 1, "the owner had to load");
    peers[1].group.set_with(&key, bytes("new"), all()).await.unwrap();
    assert_eq!(peers[0].group.get(&key).await.unwrap(), Some(bytes("new")));
    let keys: Vec<String> = (0..50).map(|n| format!("many{n}")).collect();
    let got = peers[0].group.get_many(&keys).await;
    assert!(got.iter().zip(&keys).all(|(got, key)| got.as_ref().unwrap() == &Some(bytes(key))));
    assert_eq!(peers[0].group.get("nothing").await.unwrap(), None);
}

#[tokio::test]
async fn who_reads_after_its_own_delete_does_not_get_what_the_owner_still_holds() {
    let loads = Arc::default();
    let make = counting(&loads, Duration::ZERO);
    let peers = cluster(2, make).await;
    let key = key_of(&peers, 1);
    peers[1].group.get(&key).await.unwrap();
    assert_eq!(loads.load(SeqCst), 1);
    peers[0].group.delete(&key).await.unwrap();
    peers[0].group.get(&key).await.unwrap();
    assert_eq!(loads.load(SeqCst), 2, "the question told of the delete, if it came first");
}

#[tokio::test]
async fn peers_that_differ_about_the_owner_neither_loop_nor_wait_for_each_other() {
    let loads = Arc::default();
    let peers = cluster(3, counting(&loads, Duration::from_millis(50))).await;
    let key = key_of(&peers, 2);
    // 0 believes that 1 owns it, and 1 that 0 does: neither lists itself, nor the true owner.
    peers[0].hear(&[&peers[1]]);
    peers[1].hear(&[&peers[0]]);
    until("they heard", || peers[..2].iter().all(|peer| peer.peers.view().members().len() == 1))
        .await;
    let (a, b) = tokio::join!(peers[0].group.get(&key), peers[1].group.get(&key));
    assert_eq!((a.unwrap(), b.unwrap()), (Some(bytes(&key)), Some(bytes(&key))));
    assert!(loads.load(SeqCst) <= 2);
    assert_eq!(max_hops(&peers), 1);
    assert!(peers.iter().map(|peer| peer.peers.views_differed()).sum::<u64>() > 0);
    for peer in &peers {
        peer.hear(&[&peers[0], &peers[1], &peers[2]]);
    }
    until("they agree", || {
        let epochs: BTreeSet<u64> = peers.iter().map(|peer| peer.peers.view().epoch()).collect();
        epochs.len() == 1
    })
    .await;
}

#[tokio::test]
async fn many_keys_of_one_owner_are_one_call() {
    let loads = Arc::default();
    let peers = cluster(2, counting(&loads, Duration::ZERO)).await;
    let (view, me) = (peers[0].peers.view(), peers[0].peers.view().me());
    let theirs = |key: &String| view.ring().owner(key.as_bytes()) != me;
    let keys: Vec<String> = (0..200).map(|n| format!("many{n}")).filter(theirs).collect();
    assert!(keys.len() > 10);
    let requests = || peers[1].group.inner().counters.hops[1].load(SeqCst);
    let before = requests();
    for got in peers[0].group.get_many(&keys).await {
        assert!(got.unwrap().is_some());
    }
    // Beside it peers may compare notes.
    assert!((1..=2).contains(&(requests() - before)), "one call for {} keys", keys.len());
    assert_eq!(loads.load(SeqCst) as usize, keys.len());
}

#[tokio::test]
async fn who_reads_after_its_own_clear_does_not_get_what_the_owner_still_holds() {
    let loads = Arc::default();
    let peers = cluster(2, counting(&loads, Duration::ZERO)).await;
    let key = key_of(&peers, 1);
    peers[1].group.get(&key).await.unwrap();
    for asked in 2..12 {
        peers[0].group.clear().await;
        if asked % 2 == 0 {
            peers[0].group.get(&key).await.unwrap();
        } else {
            peers[0].group.get_many(&[&key]).await.remove(0).unwrap();
        }
        assert_eq!(loads.load(SeqCst), asked, "the question told of the clear, if it came first");
    }
}

/// What a peer has counted of its gets: local, hot and peer hits, and misses.
fn gets(peer: &Peer) -> [u64; 4] {
    let stats = peer.group.stats();
    [stats.hits_local, stats.hits_hot, stats.hits_peer, stats.misses]
}

/// No copies of hot keys, and each key at its owner alone.
fn apart(builder: Builder<Bytes>) -> Builder<Bytes> {
    builder
        .hot_keys(HotKeys { max_bytes: 0, ..HotKeys::default() })
        .strategy(SomePeers::Successors(0))
}

#[tokio::test]
async fn what_the_owner_holds_is_a_peer_hit_and_what_is_nowhere_is_a_miss() {
    let peers = cluster(2, apart).await;
    let held = key_of(&peers, 1);
    let theirs: Vec<_> = (1000..).map(|n| format!("key{n}")).take(50).collect();
    let view = peers[1].peers.view();
    let theirs: Vec<_> =
        theirs.into_iter().filter(|key| view.ring().owner(key.as_bytes()) == view.me()).collect();
    peers[1].group.set(&held, bytes("v")).await.unwrap();
    for _ in 0..10 {
        assert_eq!(peers[0].group.get(&held).await.unwrap(), Some(bytes("v")));
    }
    assert_eq!(gets(&peers[0]), [0, 0, 10, 0]);
    assert_eq!(gets(&peers[1]), [10, 0, 0, 0], "it was asked ten times");
    for _ in 0..5 {
        assert_eq!(peers[0].group.get(&theirs[0]).await.unwrap(), None);
    }
    assert_eq!(gets(&peers[0]), [0, 0, 10, 5]);
    let many: Vec<_> = theirs[..3].iter().chain([&held]).collect();
    assert!(peers[0].group.get_many(&many).await.iter().all(Result::is_ok));
    assert_eq!(gets(&peers[0]), [0, 0, 11, 8]);
    assert_eq!(gets(&peers[1]), [11, 0, 0, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_callers_is_counted_once_and_what_the_owner_loaded_is_a_miss() {
    let loads = Arc::default();
    let make = counting(&loads, Duration::from_millis(100));
    let peers = cluster(2, |builder| make(apart(builder))).await;
    let key = key_of(&peers, 1);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (group, key) = (peers[0].group.clone(), key.clone());
        callers.spawn(async move { group.get(&key).await.unwrap() });
    }
    callers.join_all().await;
    let [local, hot, peer, misses] = gets(&peers[0]);
    assert_eq!((local + hot + peer + misses, local, hot), (100, 0, 0));
    assert!(misses > 0, "the first of them had the owner load");
    peers[0].group.get(&key).await.unwrap();
    assert_eq!(gets(&peers[0]), [0, 0, peer + 1, misses]);
    // An owner that knows that there is nothing has answered from its cache.
    let nothing = (0..).map(|n| format!("no{n}"));
    let view = peers[1].peers.view();
    let mut theirs = nothing.filter(|key| view.ring().owner(key.as_bytes()) == view.me());
    let nothing = theirs.next().unwrap();
    for _ in 0..2 {
        assert_eq!(peers[0].group.get(&nothing).await.unwrap(), None);
    }
    assert_eq!(gets(&peers[0]), [0, 0, peer + 2, misses + 1]);
}
