//! A group as peers and clients see it over the wire.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant as Clock;

use super::{
    Error,
    changes::{ChangeKind, Changes},
    counters::Counters,
    error::{FOREVER, MAX_VALUE, check_key},
    group::{Inner, SetOptions},
    owners::owner,
    peers::{Kind, Newer, Op, Origin, Wait, Written, millis},
    proto::{self, apply_reply::Outcome as Told},
    read::Got,
    served::{Boxed, Knows, Served},
    store::{Act, Newest, Outcome},
    version::{Version, is_absurd},
};
use crate::cache::lru::expiry;

/// After every peer has a delete, for how long its tombstone outlives sets still on their way.
const GRACE: Duration = Duration::from_secs(60);

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    fn encoded(&self, got: &Got<V>) -> Result<Option<bytes::Bytes>, Error> {
        Ok(got.value.as_ref().map(|value| self.codec.encode(value)).transpose()?)
    }

    fn ttl_of(got: &Got<V>) -> Option<u64> {
        let now = Clock::now().into_std();
        got.expires.map(|expires| millis(expires.saturating_duration_since(now)))
    }

    /// The newest that is known of a key as a write; the newest clear where that is newer.
    fn newest_write(&self, key: &str) -> Option<proto::Write> {
        let now = Clock::now().into_std();
        let (newest, cleared) = (self.store.newest(key, now), self.store.cleared());
        let op = |key: &str, kind, version| Op {
            group: Arc::clone(&self.name),
            key: key.into(),
            kind,
            version,
            settle: None,
        };
        if cleared > newest.version() {
            return op("", Kind::Clear, cleared).to_wire(now);
        }
        match newest {
            Newest::Set { value, version, expires } => {
                let value = self.codec.encode(&value).ok()?;
                op(key, Kind::Set { value, expires }, version).to_wire(now)
            }
            Newest::Deleted(version) => op(key, Kind::Delete { mark: None }, version).to_wire(now),
            Newest::Lost(_) | Newest::Nothing => None,
        }
    }

    fn apply_set(
        self: &Arc<Self>,
        write: &proto::Write,
        version: Version,
    ) -> Result<Outcome, Error> {
        if write.value.len() > MAX_VALUE {
            return Err(Error::TooLarge { bytes: write.value.len(), max: MAX_VALUE });
        }
        let value = self.codec.decode(&write.value)?;
        let now = Clock::now().into_std();
        let expires = expiry(now, Duration::from_millis(write.ttl_ms).min(FOREVER));
        let key: Arc<str> = write.key.as_str().into();
        let act = Act::Set { value, weight: write.value.len(), expires };
        let outcome = self.store.apply(&key, act, version, now, || self.overtake(&key));
        if !self.holds(&key) {
            self.let_go_later();
        }
        Ok(outcome)
    }

    fn apply_checked(
        self: &Arc<Self>,
        write: &proto::Write,
        version: Version,
    ) -> Result<Outcome, Error> {
        let kind = write.kind();
        if kind != proto::write::Kind::Clear {
            check_key(&write.key)?;
        }
        let key: Arc<str> = write.key.as_str().into();
        let now = Clock::now().into_std();
        let (outcome, change) = match kind {
            proto::write::Kind::Set => (self.apply_set(write, version)?, ChangeKind::Set),
            proto::write::Kind::Delete => {
                let supersede = || self.overtake(&key);
                let outcome = self.store.apply(&key, Act::Delete, version, now, supersede);
                (outcome, ChangeKind::Deleted)
            }
            proto::write::Kind::Clear => {
                let news = self.store.clear(version, || self.overtake_all());
                let applied = Outcome::Applied { existed: true };
                (if news { applied } else { Outcome::Known }, ChangeKind::Cleared)
            }
            proto::write::Kind::Unknown => {
                return Err(Error::Load("a write of an unknown kind".into()));
            }
        };
        if matches!(outcome, Outcome::Applied { .. }) {
            self.counters.add(|counters| &counters.applied, 1);
            self.tell(change, &key, Some(&write.value), version, true);
        }
        Ok(outcome)
    }
}

impl<V: Clone + Send + Sync + 'static> Served for Inner<V> {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn life(&self) -> u64 {
        self.clock.node()
    }

    fn get(
        self: Arc<Self>,
        key: String,
        origin: Origin,
        knows: Knows,
    ) -> Boxed<'static, Result<proto::GetReply, Error>> {
        Box::pin(async move {
            let got = self.look_up(&key, origin, knows).await?;
            Ok(proto::GetReply {
                value: self.encoded(&got)?,
                source: got.source.into(),
                ttl_ms: Self::ttl_of(&got),
                node: got.node.to_string(),
            })
        })
    }

    fn get_many(
        self: Arc<Self>,
        keys: Vec<String>,
        origin: Origin,
        cleared: Option<Version>,
    ) -> Boxed<'static, Vec<proto::Found>> {
        Box::pin(async move {
            self.learn_of_clear(cleared.unwrap_or_default());
            let asked: Vec<Arc<str>> = keys.iter().map(|key| key.as_str().into()).collect();
            let found = self.look_up_many(&asked, origin).await;
            let answer = |(key, got): (String, Result<Got<V>, Error>)| {
                let encoded = got.and_then(|got| Ok((self.encoded(&got)?, got)));
                match encoded {
                    Ok((value, got)) => proto::Found {
                        key,
                        value,
                        source: got.source.into(),
                        error: String::new(),
                        ttl_ms: Self::ttl_of(&got),
                    },
                    Err(error) => {
                        proto::Found { key, error: error.to_string(), ..Default::default() }
                    }
                }
            };
            keys.into_iter().zip(found).map(answer).collect()
        })
    }

    fn set(
        self: Arc<Self>,
        pair: proto::Pair,
        wait: Wait,
        origin: Origin,
    ) -> Boxed<'static, Result<Written, Error>> {
        Box::pin(async move {
            let value = self.codec.decode(&pair.value)?;
            let options = SetOptions { ttl: pair.ttl_ms.map(Duration::from_millis), wait };
            self.write_set(&pair.key, value, options, origin).await
        })
    }

    fn delete(
        self: Arc<Self>,
        key: String,
        wait: Wait,
        origin: Origin,
    ) -> Boxed<'static, Result<Written, Error>> {
        Box::pin(async move { self.write_delete(&key, wait, origin).await })
    }

    fn clear(self: Arc<Self>, wait: Wait, origin: Origin) -> Boxed<'static, Written> {
        Box::pin(async move { self.write_clear(wait, origin).await })
    }

    fn ttl(&self, key: &str) -> Result<proto::TtlReply, Error> {
        check_key(key)?;
        let now = Clock::now().into_std();
        let Some((held, expires)) = self.store.peek(key, now) else {
            return Ok(proto::TtlReply::default());
        };
        Ok(proto::TtlReply {
            found: true,
            negative: held.value.is_none(),
            ttl_ms: millis(expires.saturating_duration_since(now)),
            bytes: held.value.as_ref().map_or(0, |value| self.codec.weight(value)) as u64,
            version: (!held.is_fill()).then(|| held.version.into()),
        })
    }

    fn scan(&self, prefix: &str, after: &str, limit: usize) -> Vec<proto::KeyInfo> {
        let now = Clock::now().into_std();
        let mut page: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
        self.store.visit(now, |key, held, bytes, expires| {
            let wanted = held.value.is_some() && key.starts_with(prefix) && **key > *after;
            let full = page.len() >= limit;
            if !wanted || full && page.last_key_value().is_some_and(|(last, _)| key > last) {
                return;
            }
            let left = millis(expires.saturating_duration_since(now));
            page.insert(Arc::clone(key), (left, bytes as u64));
            if page.len() > limit {
                page.pop_last();
            }
        });
        let info = |(key, (ttl_ms, bytes)): (Arc<str>, _)| proto::KeyInfo {
            key: key.to_string(),
            ttl_ms,
            bytes,
        };
        page.into_iter().map(info).collect()
    }

    fn stats(&self) -> proto::StatsReply {
        let (store, hot) = (self.store.stats(), self.mirror.stats());
        let counters = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let others = self.peers.as_ref().map_or_else(Vec::new, super::Peers::others);
        let queued = |part: fn(&(usize, usize)) -> usize| -> u64 {
            others.iter().map(|peer| part(&peer.queue) as u64).sum()
        };
        proto::StatsReply {
            group: self.name.to_string(),
            node: self.me.to_string(),
            entries: store.entries as u64,
            bytes: store.bytes as u64,
            max_bytes: self.store.max_bytes() as u64,
            hits_local: read(&counters.hits_local),
            hits_peer: read(&counters.hits_peer),
            hits_hot: read(&counters.hits_hot),
            misses: read(&counters.misses),
            loads: read(&counters.loads),
            load_errors: read(&counters.load_errors),
            load_seconds: Duration::from_nanos(read(&counters.load_nanos)).as_secs_f64(),
            loads_shared: read(&counters.loads_shared),
            sets: read(&counters.sets),
            deletes: read(&counters.deletes),
            clears: read(&counters.clears),
            evictions: store.evictions,
            expired: store.expired,
            refused_old: read(&counters.refused_old),
            tombstones: self.store.tombstones() as u64,
            hot_entries: hot.entries as u64,
            hot_bytes: hot.bytes as u64,
            sync_acknowledged: read(&counters.sync_acknowledged),
            sync_failed: read(&counters.sync_failed),
            sync_dropped: read(&counters.sync_dropped),
            queue_entries: queued(|queue| queue.0),
            queue_bytes: queued(|queue| queue.1),
            peers: others.len() as u64,
            max_hops: counters.max_hops(),
            uptime_ms: millis(self.began.elapsed()),
            strategy: self.strategy.name().to_owned(),
            nodes_summed: 1,
            unreachable: Vec::new(),
        }
    }

    fn owner(&self, key: &str) -> proto::OwnerReply {
        let Some(peers) = &self.peers else { return proto::OwnerReply::default() };
        owner(&peers.view(), &*self.strategy, key)
    }

    fn watch(&self) -> Changes {
        self.changes.listen()
    }

    fn apply(self: Arc<Self>, write: proto::Write) -> (Told, Option<proto::Write>) {
        let version = Version::from(write.version.unwrap_or_default());
        let wall = self.wall();
        if version == Version::ZERO || is_absurd(version, wall) {
            self.counters.add(|counters| &counters.refused_other, 1);
            return (Told::Refused, None);
        }
        self.clock.observe(version, wall);
        match self.apply_checked(&write, version) {
            Ok(Outcome::Applied { .. }) => (Told::Applied, None),
            Ok(Outcome::Known) => (Told::Known, None),
            Ok(Outcome::Old) => {
                self.counters.add(|counters| &counters.refused_old, 1);
                (Told::Old, self.newest_write(&write.key))
            }
            Ok(Outcome::Forgotten) => {
                self.counters.add(|counters| &counters.refused_forgotten, 1);
                (Told::Forgotten, None)
            }
            Err(error) => {
                tracing::debug!(group = %self.name, key = write.key, %error, "write refused");
                self.counters.add(|counters| &counters.refused_other, 1);
                (Told::Refused, None)
            }
        }
    }

    fn reconcile(&self, known: Vec<proto::Known>, cleared: Version) -> proto::ReconcileReply {
        let (mut reply, mut newer) = (proto::ReconcileReply::default(), Newer::default());
        self.learn_of_clear(cleared);
        let ours = self.store.cleared();
        if ours > cleared {
            newer.extend(self.newest_write(""));
        }
        let now = Clock::now().into_std();
        for (at, theirs) in (0_u32..).zip(known) {
            let version = Version::from(theirs.version.unwrap_or_default());
            let here = self.store.newest(&theirs.key, now);
            // A copy that was not to stay has gone, and now the key is to be held here.
            let again = matches!(here, Newest::Lost(_)) && !self.strategy.is_everywhere();
            let newest = here.version().max(ours);
            if version > newest || version == newest && again && !theirs.deleted {
                reply.wanted.push(at);
            } else if version < newest && newest > ours && !newer.is_full() {
                newer.extend(self.newest_write(&theirs.key));
            }
        }
        reply.newer = newer.into_writes();
        reply
    }

    fn known_for(&self, peer: &str) -> Vec<(Arc<str>, Version, bool)> {
        let mut known = self.store.known(Clock::now().into_std());
        let Some(peers) = &self.peers else { return known };
        let view = peers.view();
        if !self.strategy.is_everywhere()
            && let Some(peer) = view.index_of(peer)
        {
            known.retain(|(key, _, _)| self.strategy.holders(&view, key).contains(&peer));
        }
        known
    }

    fn write_of(&self, key: &str) -> Option<proto::Write> {
        self.newest_write(key)
    }

    fn cleared(&self) -> Version {
        self.store.cleared()
    }

    fn settle(&self, key: &str, version: Version) {
        self.store.settle(key, version, Clock::now().into_std() + GRACE);
    }

    fn forgotten(self: Arc<Self>, key: &str, version: Version) {
        self.give_up(key, version);
    }

    fn members_changed(self: Arc<Self>) {
        self.let_go_later();
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn hop(&self, hops: u32) {
        self.counters.hop(hops);
    }

    fn sync_acknowledged(&self, writes: u64) {
        self.counters.add(|counters| &counters.sync_acknowledged, writes);
    }

    fn sync_failed(&self, writes: u64) {
        self.counters.add(|counters| &counters.sync_failed, writes);
    }

    fn sync_dropped(&self, writes: u64) {
        self.counters.add(|counters| &counters.sync_dropped, writes);
    }
}
