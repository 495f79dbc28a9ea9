//! Peers on loopback, and what tests ask of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use kamaitachi_discovery::NodeAddr;
use tokio::{sync::watch, time::sleep};

use crate::group::{
    Bound, Builder, Group, GroupServer, PeerOptions, PeerState, Peers, ServerOptions, SetOptions,
    Wait, proto::cache_client::CacheClient,
};

/// One peer: its group, its server, and who it believes to be there.
pub(super) struct Peer {
    pub(super) group: Group<Bytes>,
    pub(super) peers: Peers,
    pub(super) server: Option<GroupServer>,
    pub(super) members: watch::Sender<Arc<[NodeAddr]>>,
    pub(super) addr: NodeAddr,
}

/// Short waits: loopback is quick, and tests wait for conditions.
pub(super) fn options() -> PeerOptions {
    PeerOptions {
        ping_interval: Duration::from_millis(50),
        back_off: Duration::from_millis(5),
        back_off_most: Duration::from_millis(50),
        ..PeerOptions::default()
    }
}

pub(super) async fn bind() -> Bound {
    Bound::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

pub(super) async fn peer(
    bound: Bound,
    members: &[NodeAddr],
    options: PeerOptions,
    make: impl Fn(Builder<Bytes>) -> Builder<Bytes>,
) -> Peer {
    let addr: NodeAddr = bound.local_addr().to_string().parse().unwrap();
    let (tell, hear) = watch::channel(members.into());
    let server = ServerOptions { token: options.token.clone(), tls: None };
    let peers = Peers::new(addr.as_str(), hear, options).unwrap();
    let group = make(Group::bytes("test").jitter(0.0)).peers(&peers).build();
    let server = GroupServer::start(bound, &peers, server).await.unwrap();
    Peer { group, peers, server: Some(server), members: tell, addr }
}

/// `count` peers that know of each other.
pub(super) async fn cluster(
    count: usize,
    make: impl Fn(Builder<Bytes>) -> Builder<Bytes>,
) -> Vec<Peer> {
    let mut bounds = Vec::new();
    for _ in 0..count {
        bounds.push(bind().await);
    }
    let members: Vec<NodeAddr> =
        bounds.iter().map(|bound| bound.local_addr().to_string().parse().unwrap()).collect();
    let mut peers = Vec::new();
    for bound in bounds {
        peers.push(peer(bound, &members, options(), &make).await);
    }
    for peer in &peers {
        until("all are alive", || peer.others().iter().all(|state| *state == PeerState::Alive))
            .await;
    }
    peers
}

impl Peer {
    pub(super) fn others(&self) -> Vec<PeerState> {
        self.peers.others().iter().map(|peer| peer.state).collect()
    }

    pub(super) fn hear(&self, members: &[&Self]) {
        let members: Vec<NodeAddr> = members.iter().map(|peer| peer.addr.clone()).collect();
        self.members.send_replace(members.into());
    }

    pub(super) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.drain(Duration::ZERO).await;
        }
    }

    pub(super) async fn client(&self) -> CacheClient<tonic::transport::Channel> {
        CacheClient::connect(format!("http://{}", self.addr)).await.unwrap()
    }
}

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .unwrap_or_else(|_| panic!("not so: {what}"));
}

/// Waits until every peer answers this for a key, and holds it if it is there.
pub(super) async fn until_all(peers: &[Peer], key: &str, wanted: Option<&str>) {
    let wanted = wanted.map(bytes);
    let wait = async {
        for peer in peers {
            let so = async || {
                peer.group.ttl(key).unwrap().is_some() == wanted.is_some()
                    && peer.group.get(key).await.unwrap() == wanted
            };
            while !so().await {
                sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), wait).await;
    done.unwrap_or_else(|_| panic!("{key} is not {wanted:?} everywhere"));
}

/// A key that this peer owns.
pub(super) fn key_of(peers: &[Peer], at: usize) -> String {
    let view = peers[at].peers.view();
    let me = view.me().unwrap();
    let owned = |key: &String| view.ring().owner(key.as_bytes()) == Some(me);
    (0..).map(|n| format!("key{n}")).find(owned).unwrap()
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn all() -> SetOptions {
    SetOptions { ttl: None, wait: Wait::All }
}

pub(super) fn counting(
    loads: &Arc<AtomicU32>,
    takes: Duration,
) -> impl Fn(Builder<Bytes>) -> Builder<Bytes> {
    let loads = Arc::clone(loads);
    move |builder| {
        let loads = Arc::clone(&loads);
        builder.loader(move |key: Arc<str>| {
            let loads = Arc::clone(&loads);
            async move {
                loads.fetch_add(1, SeqCst);
                sleep(takes).await;
                Ok::<_, String>((!key.starts_with("no")).then(|| bytes(&key)))
            }
        })
    }
}

pub(super) fn max_hops(peers: &[Peer]) -> u64 {
    peers.iter().map(|peer| peer.group.stats().max_hops).max().unwrap()
}
