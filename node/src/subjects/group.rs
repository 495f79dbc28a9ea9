//! What this node remembers of its subjects, as its part of the group.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{GROUP, counters::Counters};
use crate::{
    api::{Core, State},
    cache::Heard,
    group::{
        self, Boxed, Broadcast, Change, ChangeKind, Changes, Clock, Error, Kind, Knows, Op, Origin,
        Peers, Served, Strategy, Teller, Version, Wait, Written, check_key, is_absurd, millis,
        owner,
        proto::{self, apply_reply::Outcome},
        wall,
    },
    model::{Revision, Subject},
};

/// How far ahead of the own clock others' clocks are followed.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// One node's part of the group. It holds nothing itself: what there is is in the node's cache.
pub(super) struct Part {
    name: Arc<str>,
    state: Arc<State>,
    peers: Peers,
    clock: Clock,
    changes: Teller,
    of_group: group::Counters,
    pub(super) counters: Counters,
    began: Instant,
}

impl Part {
    pub(super) fn new(state: Arc<State>, peers: Peers) -> Self {
        let node = RandomState::new().hash_one(GROUP) ^ rand::random::<u64>();
        Self {
            name: GROUP.into(),
            state,
            peers,
            clock: Clock::new(node, MAX_SKEW),
            changes: Teller::default(),
            of_group: group::Counters::default(),
            counters: Counters::default(),
            began: Instant::now(),
        }
    }

    /// Deletes, at all others, a subject that was written here at `revision`.
    pub(super) async fn tell_written(&self, subject: &Subject, revision: Revision) {
        let Some(core) = self.state.core() else { return };
        let lineage = core.store.mark().lineage.clone();
        self.counters.told.fetch_add(1, Relaxed);
        self.of_group.add(|counters| &counters.deletes, 1);
        let mark = Some(proto::Mark { lineage, revision });
        let op = self.op(subject, Kind::Delete { mark });
        self.tell(ChangeKind::Deleted, subject, op.version, false);
        // Asked to wait for nobody, it waits for nothing.
        self.peers.broadcast(op, true, Wait::None).await;
    }

    /// How many subjects are foretold to be written.
    pub(super) fn foretold(&self) -> usize {
        self.core().map_or(0, |core| core.engine.foretold())
    }

    fn core(&self) -> Option<Arc<Core>> {
        self.state.core()
    }

    fn op(&self, key: &Arc<str>, kind: Kind) -> Op {
        let version = self.clock.tick(wall());
        Op { group: Arc::clone(&self.name), key: Arc::clone(key), kind, version, settle: None }
    }

    fn tell(&self, kind: ChangeKind, key: &Arc<str>, version: Version, from_peer: bool) {
        let (key, version) = (Arc::clone(key), Some(version));
        self.changes.tell(|| Change { kind, key, value: None, version, from_peer });
    }

    async fn spread(&self, op: Op, existed: bool, wait: Wait, origin: Origin) -> Written {
        let version = op.version;
        if origin.is_peer() {
            return Written { existed, version, asked: 0, acknowledged: 0, satisfied: true };
        }
        self.peers.broadcast(op, existed, wait).await
    }

    /// Forgets a subject that a peer says was written, as far as this store has not the write.
    fn hear(&self, core: &Core, subject: &Subject, mark: Option<&proto::Mark>) -> Outcome {
        let Some(mark) = mark else {
            core.engine.forget(subject);
            return Outcome::Applied;
        };
        if core.store.mark().lineage != mark.lineage {
            self.counters.stranger.fetch_add(1, Relaxed);
            return Outcome::Old;
        }
        let heard = core.engine.foretell(subject, mark.revision);
        self.counters.heard(heard);
        match heard {
            Heard::News { .. } => Outcome::Applied,
            Heard::Old => Outcome::Old,
        }
    }

    fn apply_checked(&self, write: &proto::Write, version: Version) -> Outcome {
        let Some(core) = self.core() else { return Outcome::Known };
        let key: Subject = write.key.as_str().into();
        let (outcome, kind) = match write.kind() {
            proto::write::Kind::Delete if check_key(&key).is_ok() => {
                (self.hear(&core, &key, write.mark.as_ref()), ChangeKind::Deleted)
            }
            proto::write::Kind::Clear => {
                core.engine.forget_all();
                (Outcome::Applied, ChangeKind::Cleared)
            }
            _ => (Outcome::Refused, ChangeKind::Set),
        };
        match outcome {
            Outcome::Applied => {
                self.of_group.add(|counters| &counters.applied, 1);
                self.tell(kind, &key, version, true);
            }
            Outcome::Old => self.of_group.add(|counters| &counters.refused_old, 1),
            _ => self.of_group.add(|counters| &counters.refused_other, 1),
        }
        outcome
    }
}

/// Queries alone fill this group.
fn takes_no_values() -> Error {
    Error::TakesNone("what is cached of subjects comes from queries alone, and cannot be set")
}

impl Served for Part {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn life(&self) -> u64 {
        self.clock.node()
    }

    /// What is remembered here, as a line of JSON. Never asks a peer or the store.
    fn get(
        self: Arc<Self>,
        key: String,
        _: Origin,
        _: Knows,
    ) -> Boxed<'static, Result<proto::GetReply, Error>> {
        Box::pin(async move {
            check_key(&key)?;
            let core = self.core();
            let held = core.as_ref().and_then(|core| core.engine.held(&key));
            Ok(proto::GetReply {
                value: core.and_then(|core| core.engine.line(&key)),
                source: proto::Source::Local.into(),
                ttl_ms: held.map(|held| millis(held.left)),
                node: self.peers.me().to_string(),
            })
        })
    }

    fn get_many(
        self: Arc<Self>,
        keys: Vec<String>,
        origin: Origin,
        _: Option<Version>,
    ) -> Boxed<'static, Vec<proto::Found>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(keys.len());
            for key in keys {
                all.push(
                    match Arc::clone(&self).get(key.clone(), origin, Knows::default()).await {
                        Ok(proto::GetReply { value, source, ttl_ms, .. }) => {
                            proto::Found { key, value, source, error: String::new(), ttl_ms }
                        }
                        Err(why) => {
                            proto::Found { key, error: why.to_string(), ..Default::default() }
                        }
                    },
                );
            }
            all
        })
    }

    fn set(
        self: Arc<Self>,
        _: proto::Pair,
        _: Wait,
        _: Origin,
    ) -> Boxed<'static, Result<Written, Error>> {
        Box::pin(async { Err(takes_no_values()) })
    }

    fn delete(
        self: Arc<Self>,
        key: String,
        wait: Wait,
        origin: Origin,
    ) -> Boxed<'static, Result<Written, Error>> {
        Box::pin(async move {
            check_key(&key)?;
            let key: Subject = key.as_str().into();
            let existed = self.core().is_some_and(|core| core.engine.forget(&key));
            self.of_group.add(|counters| &counters.deletes, 1);
            let op = self.op(&key, Kind::Delete { mark: None });
            self.tell(ChangeKind::Deleted, &key, op.version, false);
            Ok(self.spread(op, existed, wait, origin).await)
        })
    }

    fn clear(self: Arc<Self>, wait: Wait, origin: Origin) -> Boxed<'static, Written> {
        Box::pin(async move {
            let core = self.core();
            let existed = core.as_ref().is_some_and(|core| core.engine.stats().entries != 0);
            if let Some(core) = core {
                core.engine.forget_all();
            }
            self.of_group.add(|counters| &counters.clears, 1);
            let key: Arc<str> = "".into();
            let op = self.op(&key, Kind::Clear);
            self.tell(ChangeKind::Cleared, &key, op.version, false);
            self.spread(op, existed, wait, origin).await
        })
    }

    fn ttl(&self, key: &str) -> Result<proto::TtlReply, Error> {
        check_key(key)?;
        let held = self.core().and_then(|core| core.engine.held(key));
        Ok(held.map_or_else(proto::TtlReply::default, |held| proto::TtlReply {
            found: true,
            negative: !held.exists,
            ttl_ms: millis(held.left),
            bytes: held.bytes as u64,
            version: None,
        }))
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Vec<proto::KeyInfo> {
        let page = self.core().map(|core| core.engine.list(prefix, after, limit));
        let info = |(subject, held): (Subject, crate::query::Held)| proto::KeyInfo {
            key: subject.to_string(),
            ttl_ms: millis(held.left),
            bytes: held.bytes as u64,
        };
        page.into_iter().flatten().map(info).collect()
    }

    fn stats(&self) -> proto::StatsReply {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let counters = &self.of_group;
        let cache = self.core().map(|core| core.engine.stats()).unwrap_or_default();
        let others = self.peers.others();
        proto::StatsReply {
            group: self.name.to_string(),
            node: self.peers.me().to_string(),
            entries: cache.entries,
            bytes: cache.bytes,
            max_bytes: cache.max_bytes,
            hits_local: cache.subject_hits,
            misses: cache.subject_misses,
            evictions: cache.evictions,
            expired: cache.expired,
            deletes: read(&counters.deletes),
            clears: read(&counters.clears),
            refused_old: read(&counters.refused_old),
            sync_acknowledged: read(&counters.sync_acknowledged),
            sync_failed: read(&counters.sync_failed),
            sync_dropped: read(&counters.sync_dropped),
            queue_entries: others.iter().map(|peer| peer.queue.0 as u64).sum(),
            queue_bytes: others.iter().map(|peer| peer.queue.1 as u64).sum(),
            peers: others.len() as u64,
            max_hops: counters.max_hops(),
            uptime_ms: millis(self.began.elapsed()),
            strategy: Broadcast.name().to_owned(),
            nodes_summed: 1,
            ..Default::default()
        }
    }

    fn owner(&self, key: &str) -> proto::OwnerReply {
        owner(&self.peers.view(), &Broadcast, key)
    }

    fn watch(&self) -> Changes {
        self.changes.listen()
    }

    fn apply(self: Arc<Self>, write: proto::Write) -> (Outcome, Option<proto::Write>) {
        let version = Version::from(write.version.unwrap_or_default());
        if version == Version::ZERO || is_absurd(version, wall()) {
            self.of_group.add(|counters| &counters.refused_other, 1);
            return (Outcome::Refused, None);
        }
        self.clock.observe(version, wall());
        (self.apply_checked(&write, version), None)
    }

    /// Nothing is remembered of deletes: replication brings what was missed.
    fn reconcile(&self, _: Vec<proto::Known>, _: Version) -> proto::ReconcileReply {
        proto::ReconcileReply::default()
    }

    fn known_for(&self, _: &str) -> Vec<(Arc<str>, Version, bool)> {
        Vec::new()
    }

    fn write_of(&self, _: &str) -> Option<proto::Write> {
        None
    }

    fn cleared(&self) -> Version {
        Version::ZERO
    }

    fn settle(&self, _: &str, _: Version) {}

    fn forgotten(self: Arc<Self>, _: &str, _: Version) {}

    fn members_changed(self: Arc<Self>) {}

    fn counters(&self) -> &group::Counters {
        &self.of_group
    }

    fn hop(&self, hops: u32) {
        self.of_group.hop(hops);
    }

    fn sync_acknowledged(&self, writes: u64) {
        self.of_group.add(|counters| &counters.sync_acknowledged, writes);
    }

    fn sync_failed(&self, writes: u64) {
        self.of_group.add(|counters| &counters.sync_failed, writes);
    }

    fn sync_dropped(&self, writes: u64) {
        self.of_group.add(|counters| &counters.sync_dropped, writes);
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).finish_non_exhaustive()
    }
}
