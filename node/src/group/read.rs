//! The way of a get: here, a copy, the owner, the loader.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::Instant as Clock;
use tonic::{Code, Status};

use super::{
    Error,
    counters::Tally,
    error::check_key,
    flights::{Landed, Overtaken},
    group::Inner,
    peers::{CallError, Link, Origin, Shared},
    proto::{self, Source},
    served::Knows,
    version::Version,
};
use crate::cache::lru::expiry;

/// What a get came to.
#[derive(Clone, Debug)]
pub(super) struct Got<V> {
    pub(super) value: Option<V>,
    pub(super) source: Source,
    pub(super) expires: Option<Instant>,
    /// The peer that held or loaded it.
    pub(super) node: Arc<str>,
    /// Whether a cache answered, here or at that peer, and no loader.
    pub(super) cached: bool,
}

/// Who is to be asked for a key that is not here.
enum Route {
    /// The loader; whether the key is ours, or its owner's who is not there.
    Load {
        ours: bool,
    },
    Ask(Arc<Link>),
}

impl<V: Clone + Send + Sync + 'static> Inner<V> {
    /// The quick way, for what is held here or copied.
    pub(super) fn hit(self: &Arc<Self>, key: &str, now: Instant) -> Option<Option<V>> {
        if let Some(held) = self.store.get(key, now) {
            self.counters.add(|counters| &counters.hits_local, 1);
            if held.refresh.is_some_and(|refresh| refresh <= now) {
                self.refresh(key);
            }
            return Some(held.value);
        }
        self.peers.as_ref()?;
        let (value, _) = self.mirror.get(key, now)?;
        self.counters.add(|counters| &counters.hits_hot, 1);
        Some(Some(value))
    }

    /// A get with all it takes. What comes from a peer goes no further than the loader.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        key: &str,
        origin: Origin,
        knows: Knows,
    ) -> Result<Got<V>, Error> {
        check_key(key)?;
        let now = Clock::now().into_std();
        let key: Arc<str> = key.into();
        self.learn(&key, knows, now);
        if let Some(got) = self.have(&key, origin, now) {
            return Ok(got);
        }
        let mut tally = Tally::of(&self.counters);
        let got = match self.route(&key, origin) {
            Route::Load { ours } => self.load(&key, ours).await,
            Route::Ask(link) => self.ask(&key, link, origin).await,
        };
        got.inspect(|got| tally.answered(got.source, got.cached))
    }

    /// The same for many keys, in order.
    pub(super) async fn look_up_many(
        self: &Arc<Self>,
        keys: &[Arc<str>],
        origin: Origin,
    ) -> Vec<Result<Got<V>, Error>> {
        let now = Clock::now().into_std();
        let mut found: Vec<Option<Result<Got<V>, Error>>> = vec![None; keys.len()];
        let mut by_link: BTreeMap<Arc<str>, (Arc<Link>, Vec<usize>)> = BTreeMap::new();
        let mut alone = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            if let Err(error) = check_key(key) {
                found[at] = Some(Err(error));
            } else if let Some(got) = self.have(key, origin, now) {
                found[at] = Some(Ok(got));
            } else if let Route::Ask(link) = self.route(key, origin)
                && self.store.deleted(key).is_none()
            {
                let slot = by_link.entry(Arc::clone(&link.addr)).or_insert((link, Vec::new()));
                slot.1.push(at);
            } else {
                alone.push(at);
            }
        }
        let one_by_one = alone.into_iter().map(|at| async move {
            vec![(at, self.look_up(&keys[at], origin, Knows::default()).await)]
        });
        let asked =
            by_link.into_values().map(|(link, places)| self.ask_many(keys, link, places, origin));
        let (one_by_one, asked) = tokio::join!(
            futures_util::future::join_all(one_by_one),
            futures_util::future::join_all(asked)
        );
        for (at, got) in one_by_one.into_iter().chain(asked).flatten() {
            found[at] = Some(got);
        }
        let lost = || Err(Error::Load("no answer".into()));
        found.into_iter().map(|got| got.unwrap_or_else(lost)).collect()
    }

    /// One call for the keys at these places; what it does not answer is looked up one by one.
    async fn ask_many(
        self: &Arc<Self>,
        keys: &[Arc<str>],
        link: Arc<Link>,
        places: Vec<usize>,
        origin: Origin,
    ) -> Vec<(usize, Result<Got<V>, Error>)> {
        let Some(peers) = &self.peers else { return Vec::new() };
        let message = proto::GetManyRequest {
            group: self.name.to_string(),
            keys: places.iter().map(|at| keys[*at].to_string()).collect(),
            cleared: self.told_clear(),
        };
        let at_most = peers.options().get_timeout;
        let from = (origin, at_most);
        let call = link.call(peers.shared(), message, from, async |mut client, request| {
            client.get_many(request).await
        });
        let mut answers = call.await.map_or_else(|_| Vec::new(), |reply| reply.found).into_iter();
        let mut all = Vec::with_capacity(places.len());
        for at in places {
            let answer = answers.next().filter(|found| found.error.is_empty());
            let got = match answer {
                Some(found) => {
                    let mut tally = Tally::of(&self.counters);
                    let (source, node) = (found.source(), Arc::clone(&link.addr));
                    let got = self.answered(found.value, found.ttl_ms, (source, node));
                    got.map(|(got, _)| got).inspect(|got| tally.answered(got.source, got.cached))
                }
                None => self.look_up(&keys[at], origin, Knows::default()).await,
            };
            all.push((at, got));
        }
        all
    }

    /// What is held or copied, counted.
    fn have(self: &Arc<Self>, key: &str, origin: Origin, now: Instant) -> Option<Got<V>> {
        if let Some(got) = self.held(key, now) {
            self.counters.add(|counters| &counters.hits_local, 1);
            return Some(got);
        }
        if origin.is_peer() || self.peers.is_none() {
            return None;
        }
        let (value, expires) = self.mirror.get(key, now)?;
        self.counters.add(|counters| &counters.hits_hot, 1);
        let (source, node) = (Source::Hot, Arc::clone(&self.me));
        Some(Got { value: Some(value), source, expires: Some(expires), node, cached: true })
    }

    fn held(self: &Arc<Self>, key: &str, now: Instant) -> Option<Got<V>> {
        let held = self.store.get(key, now)?;
        if held.refresh.is_some_and(|refresh| refresh <= now) {
            self.refresh(key);
        }
        let expires = self.store.peek(key, now).map(|(_, expires)| expires);
        let node = Arc::clone(&self.me);
        Some(Got { value: held.value, source: Source::Local, expires, node, cached: true })
    }

    fn route(&self, key: &str, origin: Origin) -> Route {
        let Some(peers) = &self.peers else { return Route::Load { ours: true } };
        let view = peers.shared().view();
        let successors = self.strategy.successors(&view, key);
        let owner = successors.first().copied();
        let ours = owner.is_none() || owner == view.me();
        if origin.is_peer() {
            return Route::Load { ours };
        }
        let answering = view.answering(&successors);
        match answering.and_then(|node| view.link(node)) {
            Some(link) => Route::Ask(Arc::clone(link)),
            None => Route::Load { ours },
        }
    }

    /// Asks another peer, once for all who want the key; where it gives no answer, our own loader.
    async fn ask(
        self: &Arc<Self>,
        key: &Arc<str>,
        link: Arc<Link>,
        origin: Origin,
    ) -> Result<Got<V>, Error> {
        let Some(peers) = &self.peers else { return self.load(key, true).await };
        let deadline =
            peers.options().get_timeout + self.settings.load_timeout + Duration::from_secs(1);
        let (me, shared) = (Arc::clone(self), Arc::clone(peers.shared()));
        let wanted = Arc::clone(key);
        let work = move |overtaken| async move {
            me.call(&shared, &wanted, &link, (origin, &overtaken)).await
        };
        self.landed(self.asks.join(key, deadline, || None, work).await)
    }

    async fn call(
        self: Arc<Self>,
        shared: &Shared,
        key: &Arc<str>,
        link: &Link,
        (origin, overtaken): (Origin, &Overtaken),
    ) -> Result<Got<V>, Error> {
        let message = proto::GetRequest {
            group: self.name.to_string(),
            key: key.to_string(),
            deleted: self.store.deleted(key).map(Into::into),
            cleared: self.told_clear(),
        };
        let from = (origin, shared.options().get_timeout);
        let reply =
            link.call(shared, message, from, async |mut client, request| client.get(request).await);
        let reply = match reply.await {
            Ok(reply) => reply,
            Err(CallError::Said(status)) if status.code() != Code::NotFound => {
                return Err(refused(link, &status));
            }
            // Gone, too slow, or a peer that does not hold the group.
            Err(_) => {
                self.counters.add(|counters| &counters.fallbacks, 1);
                return self.load(key, false).await;
            }
        };
        let from = (reply.source(), reply.node.as_str().into());
        let (got, weight) = self.answered(reply.value, reply.ttl_ms, from)?;
        if let (Some(value), Some(expires)) = (&got.value, got.expires) {
            let now = Clock::now().into_std();
            self.mirror.offer(key, (value, weight), expires, now, overtaken);
        }
        Ok(got)
    }

    /// The newest clear known here, for peers that are asked.
    fn told_clear(&self) -> Option<proto::Version> {
        Some(self.store.cleared()).filter(|cleared| *cleared != Version::ZERO).map(Into::into)
    }

    /// A peer's answer, where that peer and whoever it is had it from, and the weight of its value.
    fn answered(
        &self,
        value: Option<bytes::Bytes>,
        ttl_ms: Option<u64>,
        (there, node): (Source, Arc<str>),
    ) -> Result<(Got<V>, usize), Error> {
        let now = Clock::now().into_std();
        let expires = ttl_ms.map(|ttl| expiry(now, Duration::from_millis(ttl)));
        let weight = value.as_ref().map_or(0, bytes::Bytes::len);
        let value = value.map(|bytes| self.codec.decode(&bytes)).transpose()?;
        let cached = matches!(there, Source::Local | Source::Hot);
        Ok((Got { value, source: Source::Peer, expires, node, cached }, weight))
    }

    /// Loads, once for all who want the key. What is not ours is not kept for long.
    async fn load(self: &Arc<Self>, key: &Arc<str>, ours: bool) -> Result<Got<V>, Error> {
        if self.loader.is_none() {
            let (source, node) = (Source::Loader, Arc::clone(&self.me));
            return Ok(Got { value: None, source, expires: None, node, cached: false });
        }
        let now = Clock::now().into_std();
        let (me, wanted) = (Arc::clone(self), Arc::clone(key));
        let work = move |overtaken| async move { me.run_loader(wanted, ours, overtaken).await };
        let look = || self.held(key, now).map(Ok);
        self.landed(self.loads.join(key, self.settings.load_timeout, look, work).await)
    }

    fn landed(&self, landed: Landed<Result<Got<V>, Error>>) -> Result<Got<V>, Error> {
        if landed.shared {
            self.counters.add(|counters| &counters.loads_shared, 1);
        }
        landed.outcome?
    }

    async fn run_loader(
        self: Arc<Self>,
        key: Arc<str>,
        ours: bool,
        overtaken: Overtaken,
    ) -> Result<Got<V>, Error> {
        let Some(loader) = &self.loader else { return Err(Error::Load("there is none".into())) };
        let began = Clock::now();
        let mut counted = Counted { inner: &self, began, well: false };
        let value = loader(Arc::clone(&key)).await.map_err(Error::Load)?;
        counted.well = true;
        drop(counted);
        let expires = self.keep(&key, value.as_ref(), ours, &overtaken);
        let (source, node) = (Source::Loader, Arc::clone(&self.me));
        Ok(Got { value, source, expires, node, cached: false })
    }

    /// Stores what the loader gave; gives its end where it has one.
    fn keep(
        &self,
        key: &Arc<str>,
        value: Option<&V>,
        ours: bool,
        overtaken: &Overtaken,
    ) -> Option<Instant> {
        let now = Clock::now().into_std();
        let life = if value.is_some() { self.settings.ttl } else { self.settings.negative_ttl };
        let mut life = self.jittered(life);
        if !ours {
            life = life.min(self.settings.hot_life);
        }
        if life.is_zero() {
            return None;
        }
        let expires = expiry(now, life);
        let ahead = self.settings.refresh_ahead;
        let refresh = (ahead > 0.0 && ours).then(|| expiry(now, life.mul_f64(1.0 - ahead)));
        let weight = value.map_or(0, |value| self.codec.weight(value));
        let valid = || !overtaken.get();
        let filled = (value.cloned(), weight);
        if !self.store.fill(key, filled, (expires, refresh), now, valid) && overtaken.get() {
            self.counters.add(|counters| &counters.loads_discarded, 1);
        }
        Some(expires)
    }

    /// Loads anew what is about to expire, beside its readers.
    fn refresh(self: &Arc<Self>, key: &str) {
        let key: Arc<str> = key.into();
        if self.loads.contains(&key) {
            return;
        }
        self.counters.add(|counters| &counters.refreshes, 1);
        let me = Arc::clone(self);
        tokio::spawn(async move {
            let (again, wanted) = (Arc::clone(&me), Arc::clone(&key));
            let work =
                move |overtaken| async move { again.run_loader(wanted, true, overtaken).await };
            // Whoever asks after its end loads, and hears what is wrong.
            let _ = me.loads.join(&key, me.settings.load_timeout, || None, work).await;
        });
    }

    pub(super) fn jittered(&self, life: Duration) -> Duration {
        life.mul_f64(1.0 - self.settings.jitter * rand::random::<f64>())
    }
}

/// Counts a load however it ends: well, with an error, by panic or by its deadline.
struct Counted<'a, V> {
    inner: &'a Inner<V>,
    began: Clock,
    well: bool,
}

impl<V> Drop for Counted<'_, V> {
    fn drop(&mut self) {
        self.inner.counters.loaded(self.began.elapsed(), self.well);
    }
}

fn refused(link: &Link, status: &Status) -> Error {
    match status.code() {
        Code::Aborted => Error::Load(status.message().into()),
        _ => Error::Refused { peer: Arc::clone(&link.addr), reason: status.message().into() },
    }
}
