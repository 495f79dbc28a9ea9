//! The way of a write: here at once, then to the peers that are to have it.

use std::{
    sync::{
        Arc, Weak,
        atomic::Ordering::{AcqRel, Release},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::Instant as Clock;

use super::{
    Error,
    changes::{Change, ChangeKind},
    error::{FOREVER, MAX_VALUE, check_key},
    group::{Inner, SetOptions},
    peers::{Kind, Nodes, Op, Origin, Settle, Shared, View, Wait, Written},
    served::{Knows, Served},
    store::{Act, Outcome},
    version::{Version, is_absurd},
};
use crate::cache::lru::expiry;

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    pub(super) async fn write_set(
        self: &Arc<Self>,
        key: &str,
        value: V,
        options: SetOptions,
        origin: Origin,
    ) -> Result<Written, Error> {
        check_key(key)?;
        let key: Arc<str> = key.into();
        let (encoded, weight) = match &self.peers {
            Some(_) => {
                let bytes = self.codec.encode(&value)?;
                let weight = bytes.len();
                (bytes, weight)
            }
            None => (Bytes::new(), self.codec.weight(&value)),
        };
        if weight > MAX_VALUE {
            return Err(Error::TooLarge { bytes: weight, max: MAX_VALUE });
        }
        let now = Clock::now().into_std();
        let life =
            options.ttl.map_or_else(|| self.jittered(self.settings.ttl), |ttl| ttl.min(FOREVER));
        let expires = expiry(now, life);
        // Who writes what it is not to hold keeps a copy, as of a hot key.
        let here =
            if self.holds(&key) { expires } else { expiry(now, life.min(self.settings.hot_life)) };
        let act = Act::Set { value, weight, expires: here };
        let (version, existed) = self.apply_own(&key, act, now);
        self.counters.add(|counters| &counters.sets, 1);
        self.tell(ChangeKind::Set, &key, Some(&encoded), version, false);
        let op = self.op(Arc::clone(&key), Kind::Set { value: encoded, expires }, version);
        Ok(self.spread(op, existed, options.wait, origin).await)
    }

    pub(super) async fn write_delete(
        self: &Arc<Self>,
        key: &str,
        wait: Wait,
        origin: Origin,
    ) -> Result<Written, Error> {
        check_key(key)?;
        let key: Arc<str> = key.into();
        let op = self.delete_here(&key);
        Ok(self.spread(op.0, op.1, wait, origin).await)
    }

    pub(super) async fn write_clear(self: &Arc<Self>, wait: Wait, origin: Origin) -> Written {
        // Later than all that is known here, whatever clocks that came from.
        let version = self.clock.after(self.store.latest(), self.wall());
        let existed = self.store.stats().entries != 0;
        self.store.clear(version, || self.overtake_all());
        self.counters.add(|counters| &counters.clears, 1);
        self.tell(ChangeKind::Cleared, &"".into(), None, version, false);
        let op = self.op("".into(), Kind::Clear, version);
        self.spread(op, existed, wait, origin).await
    }

    /// A peer takes our set for one of a key deleted since: then it is.
    pub(super) fn give_up(self: &Arc<Self>, key: &str, version: Version) {
        let now = Clock::now().into_std();
        if self.store.newest(key, now).version() != version {
            return;
        }
        self.counters.add(|counters| &counters.refused_forgotten, 1);
        let (op, _) = self.delete_here(&key.into());
        self.send(op, None);
    }

    fn delete_here(&self, key: &Arc<str>) -> (Op, bool) {
        let now = Clock::now().into_std();
        let (version, existed) = self.apply_own(key, Act::Delete, now);
        self.counters.add(|counters| &counters.deletes, 1);
        self.tell(ChangeKind::Deleted, key, None, version, false);
        (self.op(Arc::clone(key), Kind::Delete { mark: None }, version), existed)
    }

    fn apply_own(&self, key: &Arc<str>, act: Act<V>, now: Instant) -> (Version, bool) {
        let next = |known| self.clock.after(known, self.wall());
        self.store.write(key, act, next, now, || self.overtake(key))
    }

    /// A peer that asks for a key says that it was deleted, or all was cleared: so that is known
    /// here too.
    pub(super) fn learn(&self, key: &Arc<str>, knows: Knows, now: Instant) {
        self.learn_of_clear(knows.cleared.unwrap_or_default());
        let version = knows.deleted.unwrap_or_default();
        if self.believes(version) {
            let supersede = || self.overtake(key);
            let outcome = self.store.apply(key, Act::Delete, version, now, supersede);
            if matches!(outcome, Outcome::Applied { .. }) {
                self.tell(ChangeKind::Deleted, key, None, version, true);
            }
        }
    }

    /// A peer tells of its newest clear.
    pub(super) fn learn_of_clear(&self, version: Version) {
        if version > self.store.cleared()
            && self.believes(version)
            && self.store.clear(version, || self.overtake_all())
        {
            self.tell(ChangeKind::Cleared, &"".into(), None, version, true);
        }
    }

    /// Follows a peer's version, unless it is none or too far ahead to be true.
    fn believes(&self, version: Version) -> bool {
        let wall = self.wall();
        let good = version != Version::ZERO && !is_absurd(version, wall);
        if good {
            self.clock.observe(version, wall);
        }
        good
    }

    pub(super) fn tell(
        &self,
        kind: ChangeKind,
        key: &Arc<str>,
        value: Option<&Bytes>,
        version: Version,
        from_peer: bool,
    ) {
        self.changes.tell(|| Change {
            kind,
            key: Arc::clone(key),
            value: value.filter(|_| self.peers.is_some()).cloned(),
            version: Some(version),
            from_peer,
        });
    }

    fn op(&self, key: Arc<str>, kind: Kind, version: Version) -> Op {
        Op { group: Arc::clone(&self.name), key, kind, version, settle: None }
    }

    /// Whether this peer is to hold a key.
    pub(super) fn holds(&self, key: &str) -> bool {
        let Some(peers) = &self.peers else { return true };
        if self.strategy.is_everywhere() {
            return true;
        }
        let view = peers.shared().view();
        view.me().is_none_or(|me| self.strategy.holders(&view, key).contains(&me))
    }

    /// Where a write goes: those that hold its key; a clear goes everywhere.
    pub(super) fn targets(&self, view: &View, op: &Op) -> Nodes {
        match op.kind {
            Kind::Clear => view.nodes().into(),
            Kind::Set { .. } | Kind::Delete { .. } => self.strategy.holders(view, &op.key),
        }
    }

    /// Takes a write to the others and waits as far as is asked.
    async fn spread(
        self: &Arc<Self>,
        op: Op,
        existed: bool,
        wait: Wait,
        origin: Origin,
    ) -> Written {
        let version = op.version;
        let alone = Written { existed, version, asked: 0, acknowledged: 0, satisfied: true };
        // What comes from a peer is that peer's to spread.
        let (Some(peers), Origin::Client) = (&self.peers, origin) else { return alone };
        let (owner, owner_is_me) = {
            let view = peers.shared().view();
            let owner = self.strategy.successors(&view, &op.key).first().copied();
            (owner.map(|node| Arc::clone(view.name(node))), owner.is_none() || owner == view.me())
        };
        let acks = (wait != Wait::None).then(|| Shared::acks(owner.as_ref()));
        let asked = self.send(op, acks.as_ref());
        let Some(acks) = acks else { return Written { asked, ..alone } };
        let (acknowledged, satisfied) = peers.shared().wait(wait, asked, &acks, owner_is_me).await;
        Written { asked, acknowledged, satisfied, ..alone }
    }

    /// Puts a write into the queues of the peers it goes to; gives how many those are.
    fn send(self: &Arc<Self>, mut op: Op, acks: Option<&Arc<super::peers::Acks>>) -> u32 {
        let Some(peers) = &self.peers else { return 0 };
        let view = peers.shared().view();
        let targets = self.targets(&view, &op);
        let asked = targets.iter().filter(|node| view.link(**node).is_some()).count();
        if asked == 0 {
            return 0;
        }
        if matches!(op.kind, Kind::Delete { .. }) {
            let group: Arc<dyn Served> = Arc::clone(self) as _;
            let group: Weak<dyn Served> = Arc::downgrade(&group);
            op.settle = Some(Settle::new(asked, group));
        }
        let dropped = view.push(&targets, &Arc::new(op), acks);
        self.counters.add(|counters| &counters.sync_dropped, dropped);
        u32::try_from(asked).unwrap_or(u32::MAX)
    }

    /// After a change of members, and the time it takes to hand keys on, drops what is not to be
    /// held here; so too what comes from a peer that takes this one for a holder.
    pub(super) fn let_go_later(self: &Arc<Self>) {
        if self.strategy.is_everywhere() || self.letting_go.swap(true, AcqRel) {
            return;
        }
        let (me, wait) = (Arc::downgrade(self), self.settings.hot_life.max(Duration::from_secs(1)));
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(me) = me.upgrade() {
                me.letting_go.store(false, Release);
                me.store.retain(|key| me.holds(key));
            }
        });
    }
}
