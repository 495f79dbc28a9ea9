//! The other peers: who they are, how they are reached, and what is on its way to them.

mod acks;
mod call;
mod dial;
mod health;
mod link;
mod newer;
mod op;
mod options;
mod queue;
mod reconcile;
mod strategy;
mod view;
mod words;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use kamaitachi_discovery::{Membership, NodeAddr};
use parking_lot::{Mutex, RwLock};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tracing::{info, warn};

use super::{proto, served::Served};

pub use acks::{Wait, Written};
pub use call::{EPOCH, HOPS, ORIGIN, Origin, Passport};
pub use dial::{Carrier, Dial};
pub use health::PeerState;
pub use link::PeerInfo;
pub use options::PeerOptions;
pub use queue::QueueLimits;
pub use strategy::{Broadcast, Nodes, Peers as SomePeers, ShardGroup, Strategy};
pub use view::View;

pub(super) use acks::Acks;
pub(super) use link::{CallError, Link, MAX_MESSAGE};
pub(crate) use newer::Newer;
pub(super) use op::Settle;
pub(crate) use op::{Kind, Op, millis};
pub(crate) use words::hung_up;

use acks::Enough;
use call::Outgoing;

/// After trouble with a peer, for how long the others compare notes now and then.
const TROUBLED: Duration = Duration::from_secs(60);

/// The peers of a process. Clones are the same; groups share one. When the last clone is gone the
/// connections close.
#[derive(Clone, Debug)]
pub struct Peers {
    shared: Arc<Shared>,
    _until_dropped: Arc<DropGuard>,
}

/// What the connections, the groups and the server share.
#[derive(Debug)]
pub(super) struct Shared {
    me: Arc<str>,
    options: PeerOptions,
    outgoing: Outgoing,
    view: ArcSwap<View>,
    links: Mutex<HashMap<Arc<str>, Kept>>,
    groups: RwLock<Vec<Weak<dyn Served>>>,
    /// Requests from peers with another view of the ring.
    views_differed: AtomicU64,
    /// When a peer last failed, came back or began anew, this one included.
    troubled: Mutex<Instant>,
    stop: CancellationToken,
}

/// A connection and what ends the task that keeps it.
#[derive(Debug)]
struct Kept {
    link: Arc<Link>,
    _until_dropped: DropGuard,
}

/// Why there can be no dealings with peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeers {
    /// The token has characters that can't be sent.
    #[error("the shared token must be of visible ASCII characters")]
    Token,
}

impl Peers {
    /// Peers that follow `members`; `me` is this peer's own address as the others know it, which
    /// is never dialled.
    ///
    /// # Errors
    /// The options can't work.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(
        me: &str,
        mut members: Membership,
        options: PeerOptions,
    ) -> Result<Self, InvalidPeers> {
        let mut outgoing = Outgoing::default();
        if let Some(token) = &options.token {
            let text = format!("Bearer {}", token.expose_secret());
            let mut bearer = MetadataValue::try_from(text).map_err(|_| InvalidPeers::Token)?;
            bearer.set_sensitive(true);
            outgoing.bearer = Some(bearer);
        }
        let stop = CancellationToken::new();
        let empty = View::new(&[], me, options.replicas, |_| unreachable!("there are no members"));
        let shared = Arc::new(Shared {
            me: me.into(),
            options,
            outgoing,
            view: ArcSwap::from_pointee(empty),
            links: Mutex::default(),
            groups: RwLock::default(),
            views_differed: AtomicU64::new(0),
            troubled: Mutex::new(Instant::now()),
            stop: stop.clone(),
        });
        let first = Arc::clone(&members.borrow_and_update());
        shared.follow(&first);
        let following = Arc::clone(&shared);
        let follow = async move {
            while members.changed().await.is_ok() {
                let now = Arc::clone(&members.borrow_and_update());
                following.follow(&now);
            }
            // Whoever told of members is gone: the last word stands.
            std::future::pending::<()>().await;
        };
        tokio::spawn(async move { stop.run_until_cancelled(follow).await });
        let guard = shared.stop.clone().drop_guard();
        Ok(Self { shared, _until_dropped: Arc::new(guard) })
    }

    /// This peer's own address.
    #[must_use]
    pub fn me(&self) -> &Arc<str> {
        &self.shared.me
    }

    /// The members as this peer sees them now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// How this peer gets on with each of the others, by address.
    #[must_use]
    pub fn others(&self) -> Vec<PeerInfo> {
        self.shared.view.load().links().map(|link| link.info()).collect()
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &PeerOptions {
        &self.shared.options
    }

    /// How many requests came from peers with another view of the ring.
    #[must_use]
    pub fn views_differed(&self) -> u64 {
        self.shared.views_differed()
    }

    /// Serves a group that is not a [`Group`](super::Group) beside those that are.
    pub(crate) fn join(&self, group: &Arc<dyn Served>) {
        self.shared.join(group);
    }

    /// Takes a write to every other member, and waits as far as is asked. The group that made it is
    /// told of what had no room.
    pub(crate) async fn broadcast(&self, op: Op, existed: bool, wait: Wait) -> Written {
        let (version, group) = (op.version, Arc::clone(&op.group));
        let view = self.view();
        let owner = view.ring().owner(op.key.as_bytes());
        let owner_is_me = owner.is_none() || owner == view.me();
        let owner = owner.map(|node| view.name(node));
        let acks = (wait != Wait::None).then(|| Shared::acks(owner));
        let asked = u32::try_from(view.links().count()).unwrap_or(u32::MAX);
        let dropped = view.push(view.nodes(), &Arc::new(op), acks.as_ref());
        if let Some(group) = self.shared.group(&group).filter(|_| dropped != 0) {
            group.sync_dropped(dropped);
        }
        let alone = Written { existed, version, asked, acknowledged: 0, satisfied: true };
        let Some(acks) = acks else { return alone };
        let (acknowledged, satisfied) = self.shared.wait(wait, asked, &acks, owner_is_me).await;
        Written { acknowledged, satisfied, ..alone }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(super) fn me(&self) -> &Arc<str> {
        &self.me
    }

    pub(super) fn options(&self) -> &PeerOptions {
        &self.options
    }

    pub(super) fn epoch(&self) -> u64 {
        self.view.load().epoch()
    }

    pub(super) fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// A peer is gone, is back, or has forgotten all: what it told some of the others alone, these tell
    /// each other now, and again when what was under way has arrived.
    fn compare_all(&self) {
        *self.troubled.lock() = Instant::now();
        for link in self.view.load().links() {
            link.is_behind();
        }
    }

    /// Whether a peer may have told some of the others what it can't tell all.
    fn is_unsettled(&self) -> bool {
        let recent = self.troubled.lock().elapsed() < TROUBLED;
        recent || self.view.load().links().any(|link| link.is_ejected())
    }

    /// Adds a group to those that are served and kept in step.
    pub(super) fn join(&self, group: &Arc<dyn Served>) {
        let mut groups = self.groups.write();
        groups.retain(|other| other.strong_count() != 0);
        groups.push(Arc::downgrade(group));
        drop(groups);
        for link in self.view.load().links() {
            link.is_behind();
        }
    }

    /// All groups, in the order in which they joined.
    pub(super) fn groups(&self) -> Vec<Arc<dyn Served>> {
        self.groups.read().iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn group(&self, name: &str) -> Option<Arc<dyn Served>> {
        let groups = self.groups.read();
        groups.iter().filter_map(Weak::upgrade).find(|group| **group.name() == *name)
    }

    /// Tells each group how many of these writes were its own.
    fn each_group(&self, writes: &[queue::Queued], tell: impl Fn(&dyn Served, u64)) {
        let mut counts: HashMap<&Arc<str>, u64> = HashMap::new();
        for queued in writes {
            *counts.entry(&queued.op.group).or_default() += 1;
        }
        for (name, count) in counts {
            if let Some(group) = self.group(name) {
                tell(&*group, count);
            }
        }
    }

    /// Takes in what a peer knew better.
    fn take_in(&self, newer: Vec<proto::Write>) {
        for write in newer {
            if let Some(group) = self.group(&write.group) {
                group.apply(write);
            }
        }
    }

    pub(super) fn views_differed(&self) -> u64 {
        self.views_differed.load(Relaxed)
    }

    /// Counts a request of a peer whose view differs.
    pub(super) fn saw_epoch(&self, theirs: Option<u64>) {
        if theirs.is_some_and(|theirs| theirs != self.epoch()) {
            self.views_differed.fetch_add(1, Relaxed);
        }
    }

    /// Waits for what `wait` says of a write that went to `asked` peers.
    pub(super) async fn wait(
        &self,
        wait: Wait,
        asked: u32,
        acks: &Acks,
        owner_is_me: bool,
    ) -> (u32, bool) {
        let members = u32::try_from(self.view.load().members().len()).unwrap_or(u32::MAX);
        let enough = match wait {
            Wait::None => return (0, true),
            Wait::Owner if owner_is_me => Enough::Count(0),
            Wait::Owner => Enough::Owner,
            // With this peer itself more than half.
            Wait::Quorum => Enough::Count(members / 2),
            Wait::All => Enough::Count(asked),
        };
        acks.wait(asked, enough, self.options.sync_timeout).await
    }

    pub(super) fn acks(owner: Option<&Arc<str>>) -> Arc<Acks> {
        Arc::new(Acks::new(owner.cloned()))
    }

    /// Puts a new set of members in the place of the old one.
    fn follow(self: &Arc<Self>, members: &[NodeAddr]) {
        let members: Vec<Arc<str>> = members.iter().map(NodeAddr::shared).collect();
        let mut links = self.links.lock();
        let before = self.view.load().members().len();
        links.retain(|name, _| members.contains(name));
        let mut good: Vec<Arc<str>> = Vec::with_capacity(members.len());
        for name in &members {
            if **name == *self.me || links.contains_key(name) || self.connect(name, &mut links) {
                good.push(Arc::clone(name));
            }
        }
        let link = |name: &Arc<str>| Arc::clone(&links[name].link);
        let view = View::new(&good, &self.me, self.options.replicas, link);
        if view.epoch() == self.view.load().epoch() {
            return;
        }
        let peers = view.links().count();
        let alone = view.me().is_none();
        self.view.store(Arc::new(view));
        drop(links);
        info!(
            me = %self.me, service = self.options.service, peers, members_before = before,
            not_listed_myself = alone, "peers changed"
        );
        for group in self.groups() {
            group.members_changed();
        }
        for link in self.view.load().links() {
            link.is_behind();
        }
    }

    fn connect(self: &Arc<Self>, name: &Arc<str>, links: &mut HashMap<Arc<str>, Kept>) -> bool {
        let link = match Link::new(&self.me, name, &self.options) {
            Ok(link) => Arc::new(link),
            Err(error) => {
                warn!(peer = %name, %error, "not an address that can be dialled; left out");
                return false;
            }
        };
        let stop = self.stop.child_token();
        let (kept, shared) = (Arc::clone(&link), Arc::clone(self));
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(kept.keep(&shared)).await });
        links.insert(Arc::clone(name), Kept { link, _until_dropped: stop.drop_guard() });
        true
    }
}
