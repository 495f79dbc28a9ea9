//! How a group is made.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    marker::PhantomData,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    codec::{Codec, Json, Plain},
    error::FOREVER,
    group::{Group, Inner, Settings},
    mirror::HotKeys,
    peers::{Broadcast, Peers, Strategy},
    served::Boxed,
    store::Memory,
};

/// Where versions take wall time from.
pub(super) type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a group loads from: key to value, `None` where there is none.
pub(super) type Loader<V> =
    Arc<dyn Fn(Arc<str>) -> Boxed<'static, Result<Option<V>, Arc<str>>> + Send + Sync>;

/// Makes a [`Group`]; from [`Group::builder`], [`Group::bytes`] or [`Group::json`].
pub struct Builder<V> {
    name: Arc<str>,
    codec: Arc<dyn Codec<V>>,
    loader: Option<Loader<V>>,
    peers: Option<Peers>,
    strategy: Arc<dyn Strategy>,
    max_bytes: usize,
    settings: Settings,
    memory: Memory,
    hot: HotKeys,
    max_skew: Duration,
    node: u64,
    wall: WallClock,
    value: PhantomData<V>,
}

impl Group<Bytes> {
    /// A group of plain bytes.
    #[must_use]
    pub fn bytes(name: &str) -> Builder<Bytes> {
        Self::builder(name, Plain)
    }
}

impl<V> Group<V>
where
    V: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// A group of values that travel as JSON. Cloning one should be cheap: an `Arc`, say.
    #[must_use]
    pub fn json(name: &str) -> Builder<V> {
        Self::builder(name, Json::default())
    }
}

impl<V: Clone + Send + Sync + 'static> Group<V> {
    /// A group whose values travel by `codec`. Hits clone the value, so cloning should be cheap.
    #[must_use]
    pub fn builder(name: &str, codec: impl Codec<V>) -> Builder<V> {
        Builder {
            name: name.into(),
            codec: Arc::new(codec),
            loader: None,
            peers: None,
            strategy: Arc::new(Broadcast),
            max_bytes: 64 << 20,
            settings: Settings {
                ttl: Duration::from_secs(3600),
                jitter: 0.1,
                negative_ttl: Duration::from_secs(10),
                load_timeout: Duration::from_secs(5),
                refresh_ahead: 0.0,
                hot_life: HotKeys::default().life,
            },
            memory: Memory { tombstones: 100_000, tombstone_life: Duration::from_secs(600) },
            hot: HotKeys::default(),
            max_skew: Duration::from_secs(60),
            // A number that differs with each start: versions of one life never equal another's.
            node: RandomState::new().hash_one(name) ^ rand::random::<u64>(),
            wall: Arc::new(SystemTime::now),
            value: PhantomData,
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Builder<V> {
    /// Asked for what is in no cache. It runs in a task of its own, once for all who want the key.
    ///
    /// Without a loader a missing key is simply missing.
    #[must_use]
    pub fn loader<F, Fut, E>(mut self, load: F) -> Self
    where
        F: Fn(Arc<str>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.loader = Some(Arc::new(move |key| {
            let loaded = load(key);
            Box::pin(async move { loaded.await.map_err(|error| error.to_string().into()) })
        }));
        self
    }

    /// The peers to hold the cache together with. Without, the group is a local cache.
    #[must_use]
    pub fn peers(mut self, peers: &Peers) -> Self {
        self.peers = Some(peers.clone());
        self
    }

    /// Where writes go. Default [`Broadcast`].
    #[must_use]
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.strategy = Arc::new(strategy);
        self
    }

    /// The same, chosen at run time.
    #[must_use]
    pub fn shared_strategy(mut self, strategy: Arc<dyn Strategy>) -> Self {
        self.strategy = strategy;
        self
    }

    /// Bytes of all entries at this peer, keys and bookkeeping included, copies of hot keys apart.
    /// Default 64 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How long an entry lives that isn't told otherwise. Default 1 h; ten years at the most.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl.min(FOREVER);
        self
    }

    /// The part, 0 to 1, by which a life is shortened at random at the most, so that what was
    /// stored together does not expire together. Default 0.1.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.settings.jitter = part.clamp(0.0, 1.0);
        self
    }

    /// How long it is remembered that the loader knows no value. Default 10 s; zero: not at all.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.settings.negative_ttl = ttl.min(FOREVER);
        self
    }

    /// How long the loader may take. Default 5 s.
    #[must_use]
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.settings.load_timeout = timeout;
        self
    }

    /// Loads an entry anew, in the background, when it is asked for in the last `part` (0 to 1) of
    /// its life. Default 0: never.
    #[must_use]
    pub fn refresh_ahead(mut self, part: f64) -> Self {
        self.settings.refresh_ahead = part.clamp(0.0, 1.0);
        self
    }

    /// Copies of hot keys of other owners.
    #[must_use]
    pub fn hot_keys(mut self, hot: HotKeys) -> Self {
        self.settings.hot_life = hot.life;
        self.hot = hot;
        self
    }

    /// Tombstones kept at the most, and for how long. Default 100,000 and 10 min.
    #[must_use]
    pub fn tombstones(mut self, most: usize, life: Duration) -> Self {
        self.memory = Memory { tombstones: most.max(1), tombstone_life: life };
        self
    }

    /// How far ahead of its own clock this peer follows others' clocks. Default 60 s.
    #[must_use]
    pub fn max_skew(mut self, skew: Duration) -> Self {
        self.max_skew = skew;
        self
    }

    /// The clock that versions take wall time from, for tests of clocks that differ. Default the
    /// system's.
    #[must_use]
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall = Arc::new(now);
        self
    }

    /// The number that marks this group's versions as its own, for tests that are to run the same
    /// way twice. It must be another at each peer, and after each start. Default random.
    #[must_use]
    pub fn identity(mut self, number: u64) -> Self {
        self.node = number;
        self
    }

    /// The group. With peers it joins them now.
    ///
    /// # Panics
    /// Outside a tokio runtime: what has expired is swept by a task.
    #[must_use]
    pub fn build(self) -> Group<V> {
        Group::start(Inner::new(Parts {
            name: self.name,
            codec: self.codec,
            loader: self.loader,
            peers: self.peers,
            strategy: self.strategy,
            max_bytes: self.max_bytes,
            settings: self.settings,
            memory: self.memory,
            hot: self.hot,
            max_skew: self.max_skew,
            node: self.node,
            wall: self.wall,
        }))
    }
}

/// All that a group is made of.
pub(super) struct Parts<V> {
    pub(super) name: Arc<str>,
    pub(super) codec: Arc<dyn Codec<V>>,
    pub(super) loader: Option<Loader<V>>,
    pub(super) peers: Option<Peers>,
    pub(super) strategy: Arc<dyn Strategy>,
    pub(super) max_bytes: usize,
    pub(super) settings: Settings,
    pub(super) memory: Memory,
    pub(super) hot: HotKeys,
    pub(super) max_skew: Duration,
    pub(super) node: u64,
    pub(super) wall: WallClock,
}

impl<V> fmt::Debug for Builder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("max_bytes", &self.max_bytes)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
