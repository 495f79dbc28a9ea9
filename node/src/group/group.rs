//! The group itself, as its users hold it.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Error,
    builder::{Loader, Parts, WallClock},
    changes::{Change, ChangeKind, Changes, Teller},
    codec::Codec,
    counters::Counters,
    error::check_key,
    flights::Flights,
    mirror::Mirror,
    peers::{Origin, Peers, Strategy, Wait, Written},
    proto,
    read::Got,
    served::{Knows, Served},
    store::Store,
    version::{Clock, millis},
};
use crate::cache::lru::Cause;

/// How often what has expired is swept.
const SWEEP: Duration = Duration::from_secs(10);

/// A named cache, alone or held together with peers. Clones are the same group.
pub struct Group<V> {
    inner: Arc<Inner<V>>,
}

/// The life of entries and of loads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) ttl: Duration,
    pub(super) jitter: f64,
    pub(super) negative_ttl: Duration,
    pub(super) load_timeout: Duration,
    pub(super) refresh_ahead: f64,
    pub(super) hot_life: Duration,
}

/// What the clones of a group share.
pub(super) struct Inner<V> {
    pub(super) name: Arc<str>,
    pub(super) store: Store<V>,
    pub(super) mirror: Mirror<V>,
    /// Loads under way. They never wait for a peer, so no two peers can wait for each other.
    pub(super) loads: Flights<Arc<str>, Result<Got<V>, Error>>,
    /// Questions to owners under way.
    pub(super) asks: Flights<Arc<str>, Result<Got<V>, Error>>,
    pub(super) loader: Option<Loader<V>>,
    pub(super) codec: Arc<dyn Codec<V>>,
    pub(super) clock: Clock,
    wall: WallClock,
    /// Whether keys that are not to be held are about to be dropped.
    pub(super) letting_go: AtomicBool,
    pub(super) settings: Settings,
    pub(super) counters: Counters,
    pub(super) changes: Teller,
    pub(super) peers: Option<Peers>,
    pub(super) strategy: Arc<dyn Strategy>,
    pub(super) me: Arc<str>,
    pub(super) began: Instant,
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    pub(super) fn new(parts: Parts<V>) -> Arc<Self> {
        let changes = Teller::default();
        let told = changes.clone();
        let left = move |key: &Arc<str>, cause| {
            told.tell(|| Change {
                kind: match cause {
                    Cause::Full => ChangeKind::Evicted,
                    Cause::Expired => ChangeKind::Expired,
                },
                key: Arc::clone(key),
                value: None,
                version: None,
                from_peer: false,
            });
        };
        let me =
            parts.peers.as_ref().map_or_else(|| "local".into(), |peers| Arc::clone(peers.me()));
        Arc::new(Self {
            name: parts.name,
            store: Store::new(parts.max_bytes, parts.memory, left),
            mirror: Mirror::new(parts.hot),
            loads: Flights::default(),
            asks: Flights::default(),
            loader: parts.loader,
            codec: parts.codec,
            clock: Clock::new(parts.node, parts.max_skew),
            wall: parts.wall,
            letting_go: AtomicBool::new(false),
            settings: parts.settings,
            counters: Counters::default(),
            changes,
            peers: parts.peers,
            strategy: parts.strategy,
            me,
            began: Instant::now(),
        })
    }

    /// Wall time in milliseconds of the epoch.
    pub(super) fn wall(&self) -> u64 {
        millis((self.wall)())
    }

    /// A write is about to be seen: nothing that began before it may be stored or copied.
    pub(super) fn overtake(&self, key: &str) {
        self.loads.overtake(key);
        self.asks.overtake(key);
        self.mirror.remove(key);
    }

    pub(super) fn overtake_all(&self) {
        self.loads.overtake_all();
        self.asks.overtake_all();
        self.mirror.clear();
    }
}

/// What a caller asks of a set beyond key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// How long the entry lives; `None`: as the group says, with its jitter.
    pub ttl: Option<Duration>,
    /// What to wait for.
    pub wait: Wait,
}

/// How long what is held lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// A value, for so long.
    Value(Duration),
    /// The knowledge that there is no value, for so long.
    Negative(Duration),
}

impl<V: Clone + Send + Sync + 'static> Group<V> {
    pub(super) fn start(inner: Arc<Inner<V>>) -> Self {
        if let Some(peers) = &inner.peers {
            let served: Arc<dyn Served> = Arc::clone(&inner) as _;
            peers.shared().join(&served);
        }
        let swept = Arc::downgrade(&inner);
        tokio::spawn(async move {
            let mut turns = interval(SWEEP);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            turns.tick().await;
            loop {
                turns.tick().await;
                let Some(inner) = swept.upgrade() else { return };
                let now = Instant::now().into_std();
                inner.store.sweep(now);
                inner.mirror.sweep(now);
            }
        });
        Self { inner }
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &Arc<Inner<V>> {
        &self.inner
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The value of a key: from here, else from the peer that owns it, else from the loader.
    /// `None`: there is no such key.
    ///
    /// Cancel safe: what was begun goes on for others who wait for it.
    ///
    /// # Errors
    /// The key is out of range, or it is in no cache and can't be loaded.
    pub async fn get(&self, key: &str) -> Result<Option<V>, Error> {
        // A hit neither waits nor makes a future worth the name.
        let now = Instant::now().into_std();
        if let Some(value) = self.inner.hit(key, now) {
            return Ok(value);
        }
        self.inner.look_up(key, Origin::Client, Knows::default()).await.map(|got| got.value)
    }

    /// The values of many keys in the order asked, with one call to each owner.
    ///
    /// Cancel safe, as [`get`](Self::get).
    pub async fn get_many<K: AsRef<str>>(&self, keys: &[K]) -> Vec<Result<Option<V>, Error>> {
        let keys: Vec<Arc<str>> = keys.iter().map(|key| key.as_ref().into()).collect();
        let found = self.inner.look_up_many(&keys, Origin::Client).await;
        found.into_iter().map(|got| got.map(|got| got.value)).collect()
    }

    /// Sets a value here, now, and at the other peers that are to hold it, soon.
    ///
    /// Cancel safe: once polled the write is applied here and under way.
    ///
    /// # Errors
    /// Key or value are out of range, or the value can't be encoded.
    pub async fn set(&self, key: &str, value: V) -> Result<Written, Error> {
        self.set_with(key, value, SetOptions::default()).await
    }

    /// [`set`](Self::set) with a life of its own, or waiting for others to have it.
    ///
    /// That others did not acknowledge in time is no error: see [`Written::satisfied`].
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_with(
        &self,
        key: &str,
        value: V,
        options: SetOptions,
    ) -> Result<Written, Error> {
        self.inner.write_set(key, value, options, Origin::Client).await
    }

    /// [`set`](Self::set) for many; what goes to one peer goes in one message, as far as that takes
    /// it. Gives each outcome in order.
    pub async fn set_many(
        &self,
        pairs: impl IntoIterator<Item = (String, V)>,
        options: SetOptions,
    ) -> Vec<Result<Written, Error>> {
        let sets = pairs.into_iter().map(|(key, value)| {
            let inner = Arc::clone(&self.inner);
            async move { inner.write_set(&key, value, options, Origin::Client).await }
        });
        futures_util::future::join_all(sets).await
    }

    /// Deletes a key here, now, and at the other peers, soon. A set that was made before and
    /// arrives later does not bring it back.
    ///
    /// Cancel safe, as [`set`](Self::set).
    ///
    /// # Errors
    /// The key is out of range.
    pub async fn delete(&self, key: &str) -> Result<Written, Error> {
        self.delete_with(key, Wait::None).await
    }

    /// [`delete`](Self::delete), waiting for others to have it.
    ///
    /// # Errors
    /// The key is out of range.
    pub async fn delete_with(&self, key: &str, wait: Wait) -> Result<Written, Error> {
        self.inner.write_delete(key, wait, Origin::Client).await
    }

    /// [`delete`](Self::delete) for many; gives each outcome in order.
    pub async fn delete_many<K: AsRef<str>>(
        &self,
        keys: &[K],
        wait: Wait,
    ) -> Vec<Result<Written, Error>> {
        let deletes =
            keys.iter().map(|key| self.inner.write_delete(key.as_ref(), wait, Origin::Client));
        futures_util::future::join_all(deletes).await
    }

    /// Forgets every key, here now and everywhere soon. O(1) however much there is.
    pub async fn clear(&self) -> Written {
        self.clear_with(Wait::None).await
    }

    /// [`clear`](Self::clear), waiting for others to have it.
    pub async fn clear_with(&self, wait: Wait) -> Written {
        self.inner.write_clear(wait, Origin::Client).await
    }

    /// What is held of a key at this peer; never asks anyone.
    ///
    /// # Errors
    /// The key is out of range.
    pub fn ttl(&self, key: &str) -> Result<Option<Ttl>, Error> {
        check_key(key)?;
        let now = Instant::now().into_std();
        Ok(self.inner.store.peek(key, now).map(|(held, expires)| {
            let left = expires.saturating_duration_since(now);
            if held.value.is_some() { Ttl::Value(left) } else { Ttl::Negative(left) }
        }))
    }

    /// Counters and sizes of this peer.
    #[must_use]
    pub fn stats(&self) -> proto::StatsReply {
        self.inner.stats()
    }

    /// Changes at this peer from now on.
    #[must_use]
    pub fn watch(&self) -> Changes {
        self.inner.changes.listen()
    }

    /// The peers it is held together with, if any.
    #[must_use]
    pub fn peers(&self) -> Option<&Peers> {
        self.inner.peers.as_ref()
    }
}

impl<V> Clone for Group<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<V> fmt::Debug for Group<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<V> fmt::Debug for Inner<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
