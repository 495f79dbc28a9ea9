//! The cache group: a local hit beside a bare moka `get`, gets over loopback, and sets beside a
//! peer that has stopped answering.
//!
//! - `cargo bench -p kamaitachi-node --bench group` for the hits, each by itself;
//! - `cargo bench -p kamaitachi-node --bench group -- ratio` for how many times moka's a hit takes, the two in turn;
//! - `cargo bench -p kamaitachi-node --bench group -- peers` for the rates and percentiles over sockets, `SECONDS` (5)
//!   of gets and twice as many of sets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use divan::{Bencher, black_box};
use kamaitachi_discovery::{NodeAddr, fixed};
use kamaitachi_node::group::{
    Bound, Group, GroupServer, HotKeys, PeerOptions, PeerState, Peers, ServerOptions,
};
use tokio::{net::TcpListener, runtime::Runtime, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1000;
/// So many that callers seldom meet at one and share its answer.
const PEER_KEYS: usize = 50_000;
const CALLERS: usize = 64;

fn main() {
    let asked = |word: &str| std::env::args().any(|argument| argument == word);
    if asked("ratio") {
        ratio();
    } else if asked("peers") {
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(gets_over_loopback());
        runtime.block_on(sets_beside_a_silent_peer());
    } else {
        divan::main();
    }
}

/// Of each measurement over sockets.
fn time() -> Duration {
    let seconds = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("33:{n:06}")).collect()
}

fn value() -> Bytes {
    Bytes::from(vec![7; 100])
}

/// A group with all keys, and a runtime that it sweeps on.
fn filled() -> (Runtime, Group<Bytes>) {
    let runtime = Runtime::new().expect("a runtime");
    let group = runtime.block_on(async { Group::bytes("bench").build() });
    for key in keys(KEYS) {
        runtime.block_on(group.set(&key, value())).expect("a good key");
    }
    (runtime, group)
}

/// moka with all keys, and what a group has too: weights and an end.
fn moka() -> moka::sync::Cache<Arc<str>, Bytes> {
    let cache = moka::sync::Cache::<Arc<str>, Bytes>::builder()
        .max_capacity(64 << 20)
        .weigher(|key: &Arc<str>, value: &Bytes| {
            u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX)
        })
        .time_to_live(Duration::from_secs(3600))
        .build();
    for key in keys(KEYS) {
        cache.insert(key.as_str().into(), value());
    }
    cache
}

/// A hit, which is ready at once.
fn hit(group: &Group<Bytes>, key: &str) -> bool {
    let get = std::pin::pin!(group.get(black_box(key)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    black_box(std::future::Future::poll(get, &mut context)).is_ready()
}

/// Rounds of both in turn, so that what the machine does beside hits both; the median of each.
fn ratio() {
    const ROUNDS: usize = 101;
    let ((_runtime, group), cache, keys) = (filled(), moka(), keys(KEYS));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(round(&keys, |key| hit(&group, key)));
        theirs.push(round(&keys, |key| black_box(cache.get(black_box(key))).is_some()));
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let (ours, theirs) = (ours[ROUNDS / 2], theirs[ROUNDS / 2]);
    println!("local hit {ours:.1} ns, moka get {theirs:.1} ns: {:.2} times", ours / theirs);
}

/// Nanoseconds of a hit, over a hundred of each key.
fn round(keys: &[String], get: impl Fn(&str) -> bool) -> f64 {
    let began = Instant::now();
    let found = (0..100).flat_map(|_| keys).filter(|key| get(key)).count();
    let took = began.elapsed();
    assert_eq!(found, 100 * KEYS, "each is a hit");
    took.as_secs_f64() * 1e9 / (100 * KEYS) as f64
}

#[divan::bench(sample_size = 1000, sample_count = 300)]
fn local_hit(bencher: Bencher<'_, '_>) {
    let ((_runtime, group), keys) = (filled(), keys(KEYS));
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % KEYS;
        hit(&group, &keys[at])
    });
}

#[divan::bench(sample_size = 1000, sample_count = 300)]
fn moka_get(bencher: Bencher<'_, '_>) {
    let (cache, keys) = (moka(), keys(KEYS));
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % KEYS;
        cache.get(black_box(keys[at].as_str()))
    });
}

#[divan::bench(sample_size = 1000, sample_count = 300)]
fn moka_get_without_expiry(bencher: Bencher<'_, '_>) {
    let cache = moka::sync::Cache::<Arc<str>, Bytes>::new(100_000);
    let keys = keys(KEYS);
    for key in &keys {
        cache.insert(key.as_str().into(), value());
    }
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 1) % KEYS;
        cache.get(black_box(keys[at].as_str()))
    });
}

/// Two peers; nothing is copied, so each get of the other's keys is a call.
async fn gets_over_loopback() {
    let bound = [bind().await, bind().await];
    let members: Vec<NodeAddr> = bound.iter().map(address).collect();
    let mut groups = Vec::new();
    for bound in bound {
        let peers = peers(&address(&bound), &members);
        let none = HotKeys { max_bytes: 0, ..HotKeys::default() };
        let group = Group::bytes("bench")
            .hot_keys(none)
            .loader(|_| async { Ok::<_, String>(Some(value())) });
        let group = group.peers(&peers).build();
        groups.push((group, GroupServer::start(bound, &peers, ServerOptions::default()).await));
    }
    let group = &groups[0].0;
    let Some(peers) = group.peers() else { return };
    while peers.others().iter().any(|peer| peer.state != PeerState::Alive) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let view = peers.view();
    let is_theirs = |key: &String| view.ring().owner(key.as_bytes()) != view.me();
    let theirs: Vec<String> = keys(PEER_KEYS).into_iter().filter(is_theirs).collect();
    let theirs = Arc::new(theirs);
    let (began, whole) = (Instant::now(), time());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (group, theirs) = (group.clone(), Arc::clone(&theirs));
            tokio::spawn(async move {
                let (mut took, mut at) = (Vec::new(), caller * theirs.len() / CALLERS);
                while began.elapsed() < whole {
                    at += 1;
                    let asked = Instant::now();
                    group.get(&theirs[at % theirs.len()]).await.expect("a value");
                    took.push(asked.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.expect("no panic"));
    }
    tell("peer gets", &mut took, began.elapsed());
    let stats = group.stats();
    let shared = stats.loads_shared;
    println!("{} of them calls, {shared} shared another's", took.len() as u64 - shared);
}

/// A peer that accepts and says nothing, 10,000 sets a second.
async fn sets_beside_a_silent_peer() {
    let (bound, silent) = (bind().await, TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    let there: NodeAddr = silent
        .local_addr()
        .map(|addr| addr.to_string())
        .expect("an address")
        .parse()
        .expect("an address");
    let me = address(&bound);
    let peers = peers(&me, &[me.clone(), there]);
    let group = Group::bytes("bench").max_bytes(32 << 20).peers(&peers).build();
    let mut took = Vec::new();
    let (began, whole) = (Instant::now(), time() * 2);
    let mut turns = tokio::time::interval(Duration::from_millis(1));
    let (mut most, mut n) = ((0, 0), 0_u64);
    while began.elapsed() < whole {
        turns.tick().await;
        for _ in 0..10 {
            n += 1;
            let asked = Instant::now();
            group.set(&format!("key{n}"), Bytes::from(vec![7; 1000])).await.expect("a good key");
            took.push(asked.elapsed());
        }
        let queue = peers.others()[0].queue;
        most = (most.0.max(queue.0), most.1.max(queue.1));
    }
    tell("sets beside a silent peer", &mut took, began.elapsed());
    println!("most queued: {} writes, {} bytes; {:?}", most.0, most.1, peers.others());
}

async fn bind() -> Bound {
    Bound::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port")
}

fn address(bound: &Bound) -> NodeAddr {
    bound.local_addr().to_string().parse().expect("a socket's address")
}

fn peers(me: &NodeAddr, members: &[NodeAddr]) -> Peers {
    Peers::new(me.as_str(), fixed(members.to_vec()), PeerOptions::default()).expect("no token")
}

fn tell(what: &str, took: &mut [Duration], whole: Duration) {
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 1000];
    let rate = took.len() as u128 * 1_000_000_000 / whole.as_nanos();
    println!(
        "{what}: {} in {whole:.1?}, {rate}/s, P50 {:?}, P99 {:?}, P99.9 {:?}, most {:?}",
        took.len(),
        at(500),
        at(990),
        at(999),
        at(1000)
    );
}
