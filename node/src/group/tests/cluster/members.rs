//! Peers that die, come back, leave, or are not let in.

use std::{sync::Arc, time::Duration};

use kamaitachi_discovery::NodeAddr;

use super::rig::{
    all, bind, bytes, cluster, counting, key_of, max_hops, options, peer, until, until_all,
};
use crate::group::{Bound, GroupServer, PeerOptions, PeerState, ServerOptions, Wait, proto};

#[tokio::test]
async fn a_peer_that_dies_is_ejected_and_its_keys_are_answered_by_others() {
    let loads = Arc::default();
    let mut peers = cluster(3, counting(&loads, Duration::ZERO)).await;
    let key = key_of(&peers, 2);
    peers[2].stop().await;
    assert_eq!(peers[0].group.get(&key).await.unwrap(), Some(bytes(&key)));
    until("it is out", || peers[0].others().contains(&PeerState::Ejected)).await;
    let before = peers[0].group.stats().loads + peers[1].group.stats().loads;
    peers[0].group.clear_with(Wait::Quorum).await;
    for peer in &peers[..2] {
        assert_eq!(peer.group.get(&key).await.unwrap(), Some(bytes(&key)));
    }
    let after = peers[0].group.stats().loads + peers[1].group.stats().loads;
    assert!(after - before <= 2, "{before} {after}");
    assert!(max_hops(&peers) <= 1);
}

#[tokio::test]
async fn a_peer_that_was_away_gets_what_it_missed_and_keeps_no_deleted_key() {
    let mut peers = cluster(3, |builder| builder).await;
    peers[0].group.set_with("old", bytes("1"), all()).await.unwrap();
    peers[0].group.set_with("gone", bytes("1"), all()).await.unwrap();
    let addr = peers[2].server.as_ref().unwrap().local_addr();
    peers[2].stop().await;
    until("it is out", || peers[0].others().contains(&PeerState::Ejected)).await;
    peers[0].group.set("old", bytes("2")).await.unwrap();
    peers[1].group.delete("gone").await.unwrap();
    peers[0].group.set("new", bytes("3")).await.unwrap();
    // What the other side writes meanwhile counts too.
    peers[2].group.set("theirs", bytes("4")).await.unwrap();
    let bound = Bound::bind(addr).await.unwrap();
    let server = GroupServer::start(bound, &peers[2].peers, ServerOptions::default()).await;
    peers[2].server = Some(server.unwrap());
    until("it is back", || !peers[0].others().contains(&PeerState::Ejected)).await;
    for (key, wanted) in
        [("old", Some("2")), ("gone", None), ("new", Some("3")), ("theirs", Some("4"))]
    {
        until_all(&peers, key, wanted).await;
    }
}

#[tokio::test]
async fn a_peer_never_dials_itself_and_one_that_leaves_is_forgotten() {
    let peers = cluster(3, |builder| builder).await;
    for peer in &peers {
        assert_eq!(peer.peers.others().len(), 2);
        assert!(peer.peers.others().iter().all(|other| *other.addr != *peer.addr.as_str()));
    }
    peers[0].hear(&[&peers[0]]);
    until("it is alone", || peers[0].peers.others().is_empty()).await;
    let written = peers[0].group.set_with("k", bytes("v"), all()).await.unwrap();
    assert_eq!((written.asked, written.satisfied), (0, true));
}

#[tokio::test]
async fn without_the_token_nothing_is_told_and_nobody_joins() {
    let bounds = [bind().await, bind().await];
    let members: Vec<NodeAddr> =
        bounds.iter().map(|bound| bound.local_addr().to_string().parse().unwrap()).collect();
    let [first, second] = bounds;
    let with = |token: Option<&str>| PeerOptions { token: token.map(Into::into), ..options() };
    let first = peer(first, &members, with(Some("secret")), |builder| builder).await;
    let second = peer(second, &members, with(Some("wrong")), |builder| builder).await;
    first.group.set("k", bytes("v")).await.unwrap();
    until("it is out", || second.others() == [PeerState::Ejected]).await;
    assert!(second.peers.others()[0].last_error.as_deref().unwrap().contains("token"));
    assert_eq!(second.group.get("k").await.unwrap(), None);
    let refused = first.client().await.get(proto::GetRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_peer_that_begins_anew_unnoticed_is_told_all_it_had() {
    // Peers that are not left alone so soon: nobody notices that one was away.
    let patient = || PeerOptions { eject_after: 1000, ..options() };
    let mut bounds = vec![bind().await, bind().await];
    let members: Vec<NodeAddr> =
        bounds.iter().map(|bound| bound.local_addr().to_string().parse().unwrap()).collect();
    let mut gone = peer(bounds.remove(0), &members, patient(), |group| group).await;
    let stays = peer(bounds.remove(0), &members, patient(), |group| group).await;
    for n in 0..10 {
        let written = stays.group.set_with(&format!("k{n}"), bytes("v"), all()).await.unwrap();
        assert!(written.satisfied);
    }
    let addr = gone.server.as_ref().unwrap().local_addr();
    gone.stop().await;
    drop(gone);
    let again = peer(Bound::bind(addr).await.unwrap(), &members, patient(), |group| group).await;
    let told = until("it has all", || again.group.stats().entries == 10);
    // Half a minute after its start a peer compares notes without a reason, too.
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("told by a ping");
    assert_eq!(stays.others(), [PeerState::Alive], "nobody was left alone for it");
}
