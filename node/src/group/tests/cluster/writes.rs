//! Sets, deletes and clears: who gets them, and when.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use kamaitachi_discovery::NodeAddr;

use super::rig::{all, bind, bytes, cluster, key_of, options, peer, until, until_all};
use crate::group::{
    SetOptions, ShardGroup, SomePeers, Version, Wait, Written,
    peers::MAX_MESSAGE,
    proto::{self, sync_client::SyncClient},
};

#[tokio::test]
async fn a_write_reaches_all_and_says_who_has_it() {
    let peers = cluster(3, |builder| builder).await;
    let written = peers[0].group.set_with("k", bytes("v"), all()).await.unwrap();
    let Written { asked, acknowledged, satisfied, .. } = written;
    assert_eq!((asked, acknowledged, satisfied), (2, 2, true));
    until_all(&peers, "k", Some("v")).await;
    let delete = peers[1].group.delete_with("k", Wait::Quorum).await.unwrap();
    assert!(delete.satisfied && delete.acknowledged >= 1 && delete.existed);
    until_all(&peers, "k", None).await;
    let owned = key_of(&peers, 2);
    let options = SetOptions { ttl: None, wait: Wait::Owner };
    assert!(peers[0].group.set_with(&owned, bytes("v"), options).await.unwrap().satisfied);
    assert!(peers[2].group.ttl(&owned).unwrap().is_some(), "the owner has it");
    assert!(peers[0].group.clear_with(Wait::All).await.satisfied);
    until_all(&peers, &owned, None).await;
}

#[tokio::test]
async fn a_full_queue_loses_nothing_for_good() {
    let mut bounds = vec![bind().await, bind().await];
    let members: Vec<NodeAddr> =
        bounds.iter().map(|bound| bound.local_addr().to_string().parse().unwrap()).collect();
    let silent = bounds.pop().unwrap();
    let mut small = options();
    small.queue.entries = 10;
    let first = peer(bounds.pop().unwrap(), &members, small, |builder| builder).await;
    for n in 0..100 {
        first.group.set(&format!("k{n}"), bytes("v")).await.unwrap();
    }
    let [info] = &first.peers.others()[..] else { panic!("one peer") };
    assert!(info.queue.0 <= 10 && info.dropped >= 90 - 10, "{info:?}");
    // Until now nobody answered at its address.
    let late = peer(silent, &members, options(), |builder| builder).await;
    until("it has all", || late.group.stats().entries == 100).await;
}

#[tokio::test]
async fn strategies_decide_who_holds_what() {
    let peers = cluster(3, |builder| builder.strategy(SomePeers::Successors(1))).await;
    let key = key_of(&peers, 1);
    let written = peers[1].group.set_with(&key, bytes("v"), all()).await.unwrap();
    assert_eq!((written.asked, written.acknowledged), (1, 1), "the owner and one more");
    let holders = peers.iter().filter(|peer| peer.group.ttl(&key).unwrap().is_some()).count();
    assert_eq!(holders, 2);
    for peer in &peers {
        assert_eq!(peer.group.get(&key).await.unwrap(), Some(bytes("v")));
    }

    let first = peers[0].addr.shared();
    let rest: BTreeSet<Arc<str>> = peers[1..].iter().map(|peer| peer.addr.shared()).collect();
    let sharded = ShardGroup::new(vec![BTreeSet::from([first]), rest]);
    let view = peers[0].peers.view();
    let sizes: BTreeSet<usize> = (0..100)
        .map(|n| crate::group::Strategy::holders(&sharded, &view, &format!("k{n}")).len())
        .collect();
    assert_eq!(sizes, BTreeSet::from([1, 2]), "each key is of one shard");
}

#[tokio::test]
async fn a_clear_takes_what_a_clock_far_ahead_has_written_too() {
    let ahead = || SystemTime::now() + Duration::from_secs(7200);
    let mut bounds = vec![bind().await, bind().await];
    let members: Vec<NodeAddr> =
        bounds.iter().map(|bound| bound.local_addr().to_string().parse().unwrap()).collect();
    let far = peer(bounds.remove(0), &members, options(), |group| group.wall_clock(ahead)).await;
    let near = peer(bounds.remove(0), &members, options(), |group| group).await;
    until("they know each other", || {
        [&far, &near].iter().all(|peer| peer.others() == [crate::group::PeerState::Alive])
    })
    .await;
    assert!(far.group.set_with("k", bytes("v"), all()).await.unwrap().satisfied);
    assert_eq!(near.group.get("k").await.unwrap(), Some(bytes("v")));
    let cleared = near.group.clear_with(Wait::All).await;
    assert!(cleared.satisfied);
    for peer in [&far, &near] {
        assert_eq!(peer.group.get("k").await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_comes_back_with_an_answer_is_never_more_than_the_asker_takes() {
    let small = |n: usize| (format!("{n:04}{}", "k".repeat(1_020)), bytes("v"));
    let large = |n: usize, size: usize| (format!("z{n}"), Bytes::from(vec![7; size]));
    // Values just below the bound and then the largest; and keys that are longer than their values.
    let sums = vec![large(0, (1 << 20) - 3), large(1, 3 << 20), large(2, 3 << 20)];
    let keys = (0..1_500).map(small).chain([large(0, 3 << 20), large(1, 3 << 20)]).collect();
    for writes in [sums, keys] {
        let writes: Vec<(String, Bytes)> = writes;
        let peers = cluster(2, |builder| builder.max_bytes(64 << 20)).await;
        let mut sync = SyncClient::connect(format!("http://{}", peers[0].addr)).await.unwrap();
        sync = sync.max_decoding_message_size(MAX_MESSAGE);
        let old = Version { time: 1, node: 1 };
        for (key, value) in &writes {
            peers[0].group.set_with(key, value.clone(), all()).await.unwrap();
        }
        let known = writes.iter().map(|(key, _)| proto::Known {
            key: key.clone(),
            version: Some(old.into()),
            deleted: false,
        });
        // Asked again for what it did not tell, it tells all in the end.
        let mut known: Vec<_> = known.collect();
        while !known.is_empty() {
            let (group, told) = ("test".to_owned(), known.clone());
            let ask = proto::ReconcileRequest { group, known: told, cleared: None };
            let newer = sync.reconcile(ask).await.unwrap().into_inner().newer;
            assert!(!newer.is_empty(), "{} are not told", known.len());
            known.retain(|known| newer.iter().all(|write| write.key != known.key));
        }
        let stale = writes.iter().map(|(key, _)| proto::Write {
            group: "test".into(),
            kind: proto::write::Kind::Delete.into(),
            key: key.clone(),
            version: Some(old.into()),
            ..Default::default()
        });
        let mut stale: Vec<_> = stale.collect();
        while !stale.is_empty() {
            let ask = proto::ApplyRequest { writes: stale.clone() };
            let reply = sync.apply(ask).await.unwrap().into_inner();
            assert_eq!(reply.outcomes.len(), stale.len());
            assert!(!reply.newer.is_empty());
            stale.retain(|write| reply.newer.iter().all(|newer| newer.key != write.key));
        }
    }
}
