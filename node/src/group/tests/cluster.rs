//! Groups of real servers on loopback.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use kamaitachi_discovery::NodeAddr;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::group::{
    Bound, Builder, Group, GroupServer, HotKeys, PeerOptions, PeerState, Peers, ServerOptions,
    SetOptions, ShardGroup, SomePeers, Wait, Written, proto, proto::cache_client::CacheClient,
};

/// One peer: its group, its server, and who it believes to be there.
struct Peer {
    group: Group<Bytes>,
    peers: Peers,
    server: Option<GroupServer>,
    members: watch::Sender<Arc<[NodeAddr]>>,
    addr: NodeAddr,
}

/// Short waits: loopback is quick, and tests wait for conditions.
fn options() -> PeerOptions {
    PeerOptions {
        ping_interval: Duration::from_millis(50),
        back_off: Duration::from_millis(5),
        back_off_most: Duration::from_millis(50),
        ..PeerOptions::default()
    }
}

async fn bind() -> Bound {
    Bound::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

async fn peer(
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
async fn cluster(count: usize, make: impl Fn(Builder<Bytes>) -> Builder<Bytes>) -> Vec<Peer> {
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
    fn others(&self) -> Vec<PeerState> {
        self.peers.others().iter().map(|peer| peer.state).collect()
    }

    fn hear(&self, members: &[&Self]) {
        let members: Vec<NodeAddr> = members.iter().map(|peer| peer.addr.clone()).collect();
        self.members.send_replace(members.into());
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.drain(Duration::ZERO).await;
        }
    }

    async fn client(&self) -> CacheClient<tonic::transport::Channel> {
        CacheClient::connect(format!("http://{}", self.addr)).await.unwrap()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
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
async fn until_all(peers: &[Peer], key: &str, wanted: Option<&str>) {
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
fn key_of(peers: &[Peer], at: usize) -> String {
    let view = peers[at].peers.view();
    let me = view.me().unwrap();
    let owned = |key: &String| view.ring().owner(key.as_bytes()) == Some(me);
    (0..).map(|n| format!("key{n}")).find(owned).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn all() -> SetOptions {
    SetOptions { ttl: None, wait: Wait::All }
}

fn counting(loads: &Arc<AtomicU32>, takes: Duration) -> impl Fn(Builder<Bytes>) -> Builder<Bytes> {
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

fn max_hops(peers: &[Peer]) -> u64 {
    peers.iter().map(|peer| peer.group.stats().max_hops).max().unwrap()
}

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
    assert!(stats.hits_hot > 0 && stats.hits_hot + stats.hits_peer == 10, "{stats:?}");
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
async fn clients_scan_watch_and_ask_over_the_wire() {
    let peers = cluster(2, |builder| builder).await;
    let mut client = peers[0].client().await;
    let watch = proto::WatchRequest { group: String::new(), prefix: "a".into(), values: true };
    let mut changes = client.watch(watch).await.unwrap().into_inner();
    let ready = changes.message().await.unwrap().unwrap();
    assert_eq!(ready.kind(), proto::change::Kind::Ready);
    for n in 0..25 {
        let key = format!("a{n:02}");
        let (value, wait) = (bytes("v"), proto::Wait::All.into());
        let set = proto::SetRequest { key, value, wait, ..Default::default() };
        assert!(client.set(set).await.unwrap().into_inner().satisfied);
    }
    let change = changes.message().await.unwrap().unwrap();
    assert_eq!((change.key.as_str(), change.value), ("a00", Some(bytes("v"))));
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let scope = proto::Scope::Group.into();
        let prefix = "a".to_owned();
        let scan = proto::ScanRequest { prefix, cursor, limit: 10, scope, ..Default::default() };
        let page = client.scan(scan).await.unwrap().into_inner();
        keys.extend(page.keys.into_iter().map(|info| info.key));
        cursor = page.cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(keys, (0..25).map(|n| format!("a{n:02}")).collect::<Vec<_>>());
    let got = proto::GetRequest { key: "a03".into(), ..Default::default() };
    let got = client.get(got).await.unwrap().into_inner();
    assert_eq!((got.value.as_deref(), got.source()), (Some(&b"v"[..]), proto::Source::Local));
    let scope = proto::Scope::Group.into();
    let stats = proto::StatsRequest { scope, ..Default::default() };
    let stats = client.stats(stats).await.unwrap().into_inner();
    assert_eq!((stats.nodes_summed, stats.entries, stats.sets), (2, 50, 25));
    let seen = client.peers(proto::PeersRequest::default()).await.unwrap().into_inner();
    assert_eq!((seen.self_.as_str(), seen.peers.len()), (peers[0].addr.as_str(), 2));
    let wrong = proto::GetRequest { group: "nope".into(), key: "k".into(), ..Default::default() };
    let refused = client.get(wrong).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert!(refused.message().contains("test"), "{refused}");
    let empty = client.get(proto::GetRequest::default()).await.unwrap_err();
    assert_eq!(empty.code(), tonic::Code::InvalidArgument);
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
