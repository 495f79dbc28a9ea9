//! A gateway: the real view of who is there, the real ring over it, and a real breaker for each node.

use std::{
    collections::BTreeMap, convert::Infallible, io, num::NonZeroU16, sync::Arc, time::Duration,
};

use kamaitachi_discovery::{
    NodeAddr,
    allow::Allow,
    retry::Retry,
    view::{Change, Entry, Guard, MOST_NODES, Mark, View},
};
use kamaitachi_policies::{
    breaker::{Breaker, BreakerConfig, BreakerSettings, Outcome, State, Verdict},
    ring::{Ring, Spread},
};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    etcd::{self, Ask, Told},
    node::BACK_OFF,
};
use crate::rig::{trace::Trace, wire::Link};

pub(crate) const HOLD: Duration = Duration::from_secs(5);
const RELIST: Duration = Duration::from_secs(3);
pub(crate) const KEYS: u32 = 40;

/// What the judge sees of a gateway; the members are also on its disk.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) members: Vec<NodeAddr>,
    pub(crate) open: Vec<NodeAddr>,
    /// Requests answered, tries that failed, tries that a breaker spared.
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) spared: u64,
    pub(crate) holds: u64,
    /// Lists that had nothing new to tell, since the watch had told all before.
    pub(crate) known: u64,
}

pub(crate) type Shared = Arc<Mutex<Seen>>;

pub(crate) fn ring(members: &[NodeAddr]) -> Ring {
    let replicas = NonZeroU16::new(30).unwrap();
    Ring::new(members.iter().map(NodeAddr::as_str), replicas, Spread::Plain)
}

pub(crate) fn owner(ring: &Ring, key: u32) -> Option<&str> {
    ring.owner(key.to_string().as_bytes()).and_then(|owner| ring.name(owner))
}

pub(crate) async fn run(
    own: &'static str,
    seen: Shared,
    trace: Arc<Trace>,
    seed: u64,
) -> turmoil::Result {
    let guard = Guard { max_drop_percent: 50, hold: HOLD, ..Guard::default() };
    let start = seen.lock().members.clone();
    let view = View::new(Allow::default(), MOST_NODES, guard, start);
    let follower = Follower { own, view, seen: Arc::clone(&seen), trace, cluster: None };
    let following = Box::pin(follower.run(seed));
    futures_util::future::join(following, ask(seen, seed)).await;
    Ok(())
}

struct Follower {
    own: &'static str,
    view: View,
    seen: Shared,
    trace: Arc<Trace>,
    /// Which store was listed last.
    cluster: Option<u64>,
}

fn resolve(host: &str) -> Vec<std::net::IpAddr> {
    vec![turmoil::lookup(host)]
}

impl Follower {
    async fn run(mut self, seed: u64) {
        let (mut retry, mut rng) = (Retry::new(BACK_OFF), StdRng::seed_from_u64(seed));
        loop {
            let Err(_) = self.session().await;
            sleep(retry.wait(rng.random())).await;
        }
    }

    /// As the real follower: lists, watches from there, and lists again when that is over or it is time.
    async fn session(&mut self) -> io::Result<Infallible> {
        let etcd = format!("etcd:{}", etcd::PORT);
        let mut lists = Link::connect(&etcd).await?;
        loop {
            self.list(&mut lists).await?;
            let mut watch = Link::connect(&etcd).await?;
            watch.send(&Ask::Watch(self.view.revision() + 1)).await?;
            let mut listed = Instant::now();
            loop {
                let confirm = self.view.confirm_at().map(Instant::from_std);
                let turn = confirm.unwrap_or(listed + RELIST).min(listed + RELIST);
                tokio::select! {
                    biased;
                    told = watch.next() => match told? {
                        Told::Events(events) => self.change(&events),
                        _ => break,
                    },
                    () = sleep_until(turn) => {
                        listed = Instant::now();
                        if self.list(&mut lists).await? {
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn list(&mut self, link: &mut Link) -> io::Result<bool> {
        let Told::Listed { cluster, term, revision, keys } = link.ask(&Ask::List).await? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let entries = keys.iter().map(|key| Entry { key: key.as_bytes(), value: key.as_bytes() });
        let due = self.view.confirm_at().is_some_and(|at| at <= Instant::now().into_std());
        // What nobody has confirmed yet is replaced by as many others.
        let unconfirmed = self.view.revision() == 0;
        let before = self.view.members();
        // The watch has told of every change up to this list, and nobody is kept for other reasons.
        let told = self.cluster == Some(cluster) && self.view.revision() == revision;
        let told = told && self.view.held() == 0;
        self.cluster = Some(cluster);
        let (now, seen) = (Instant::now().into_std(), self.view.revision());
        let refused = self.view.list(now, Mark { cluster, term, revision }, entries, &resolve);
        assert!(refused.is_empty(), "{} refuses {refused:?}", self.own);
        let after = self.view.members();
        let stays = |member: &&NodeAddr| unconfirmed || before.contains(member);
        let left = after.iter().filter(stays).count();
        // Else what the watch told was not heeded, and it was the list that made up for it.
        assert!(!told || after == before, "{} learns {after:?} after {before:?}", self.own);
        self.seen.lock().known += u64::from(told);
        assert!(due || left * 2 >= before.len(), "{} drops {before:?} for {after:?}", self.own);
        Ok(self.publish() || self.view.revision() < seen)
    }

    fn change(&mut self, events: &[(i64, String, bool)]) {
        let changes = events.iter().map(|(revision, key, put)| {
            let (key, revision) = (key.as_bytes(), *revision);
            if *put {
                Change::Put { entry: Entry { key, value: key }, revision }
            } else {
                Change::Delete { key, leased: true, revision }
            }
        });
        let changes: Vec<_> = changes.collect();
        let now = Instant::now().into_std();
        assert!(self.view.changes(now, &changes, &resolve, &|_| false).is_empty());
        self.publish();
    }

    /// Whether the members are others than before. Only the keys of nodes that came or went may move.
    fn publish(&self) -> bool {
        let members = self.view.members();
        let mut seen = self.seen.lock();
        seen.holds = seen.holds.max(self.view.holds());
        if seen.members == members {
            return false;
        }
        self.trace.note(format!("{}: {members:?}", self.own));
        let (old, new) = (ring(&seen.members), ring(&members));
        for key in 0..KEYS {
            let (from, to) = (owner(&old, key), owner(&new, key));
            let came = |name: &str| old.index_of(name).is_none();
            let went = |name: &str| new.index_of(name).is_none();
            let may = from == to || from.is_none_or(went) || to.is_none_or(came);
            assert!(may, "{}: {key} moves from {from:?} to {to:?}", self.own);
        }
        seen.members = members;
        true
    }
}

fn config() -> BreakerConfig {
    let settings = BreakerSettings {
        window: Duration::from_secs(2),
        min_requests: 4,
        open_for: Duration::from_secs(2),
        ..BreakerSettings::default()
    };
    BreakerConfig::new(settings).unwrap()
}

/// Sends requests for ever: to the owner of a key, and to the next of the ring where that fails or is not to be tried.
async fn ask(seen: Shared, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut breakers = BTreeMap::<NodeAddr, Breaker>::new();
    loop {
        sleep(Duration::from_millis(rng.random_range(50..150))).await;
        let members = seen.lock().members.clone();
        breakers.retain(|node, _| members.contains(node));
        let ring = ring(&members);
        let key = rng.random_range(0..KEYS).to_string();
        for node in ring.successors(key.as_bytes()).filter_map(|node| ring.name(node)) {
            let node: NodeAddr = node.parse().unwrap();
            let breaker = breakers.entry(node.clone()).or_insert_with(|| Breaker::new(config()));
            let Verdict::Admit(permit) = breaker.try_acquire(Instant::now().into_std()) else {
                seen.lock().spared += 1;
                continue;
            };
            let answered = timeout(Duration::from_millis(400), request(node.as_str())).await;
            let well = matches!(answered, Ok(Ok(())));
            let outcome = if well { Outcome::Success } else { Outcome::Failure };
            breaker.record(permit, outcome, Instant::now().into_std());
            let mut seen = seen.lock();
            (seen.answered, seen.failed) =
                (seen.answered + u64::from(well), seen.failed + u64::from(!well));
            if well {
                break;
            }
        }
        let now = Instant::now().into_std();
        let closed = |breaker: &mut Breaker| breaker.snapshot(now).state == State::Closed;
        let open = breakers
            .iter_mut()
            .filter_map(|(node, breaker)| (!closed(breaker)).then(|| node.clone()));
        seen.lock().open = open.collect();
    }
}

async fn request(node: &str) -> io::Result<()> {
    let mut link = Link::connect(node).await?;
    link.put(b"?").await?;
    link.bytes().await.map(drop)
}
