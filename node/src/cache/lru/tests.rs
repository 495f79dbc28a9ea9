use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;

use super::*;

type Cache = Lru<u8, Arc<u32>>;
const OVERHEAD: usize = Shard::<u8, Arc<u32>>::OVERHEAD;

/// The same cache, the slow way: newest first in a plain list.
#[derive(Default)]
struct Model {
    max: usize,
    list: Vec<(u8, u32, usize, Instant)>,
    evictions: u64,
    expired: u64,
}

impl Model {
    fn bytes(&self) -> usize {
        self.list.iter().map(|e| e.2 + OVERHEAD).sum()
    }

    fn get(&mut self, key: u8, now: Instant) -> Option<u32> {
        let at = self.list.iter().position(|e| e.0 == key)?;
        let entry = self.list.remove(at);
        if entry.3 <= now {
            self.expired += 1;
            return None;
        }
        self.list.insert(0, entry);
        Some(entry.1)
    }

    fn insert(&mut self, key: u8, value: u32, weight: usize, expires: Instant) -> bool {
        self.list.retain(|e| e.0 != key);
        if weight + OVERHEAD > self.max {
            return false;
        }
        while self.bytes() + weight + OVERHEAD > self.max {
            self.list.pop();
            self.evictions += 1;
        }
        self.list.insert(0, (key, value, weight, expires));
        true
    }
}

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    Peek(u8),
    Insert(u8, u32, usize, u64),
    InsertOldest(u8, u32, usize, u64),
    Remove(u8),
    Pass(u64),
    Purge,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..12_u8).prop_map(Step::Get),
        1 => (0..12_u8).prop_map(Step::Peek),
        6 => (0..12_u8, any::<u32>(), 0..900_usize, 1..9_u64)
            .prop_map(|(k, v, w, ttl)| Step::Insert(k, v, w, ttl)),
        2 => (0..12_u8, any::<u32>(), 0..900_usize, 1..9_u64)
            .prop_map(|(k, v, w, ttl)| Step::InsertOldest(k, v, w, ttl)),
        1 => (0..12_u8).prop_map(Step::Remove),
        2 => (0..3_u64).prop_map(Step::Pass),
        1 => Just(Step::Purge),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn does_what_the_naive_one_does(steps in prop::collection::vec(step(), 1..200)) {
        let max = 2000;
        let cache = Cache::new(max);
        let mut model = Model { max, ..Model::default() };
        let mut now = tokio::time::Instant::now().into_std();
        for step in steps {
            match step {
                Step::Get(k) => prop_assert_eq!(cache.get(&k, now).map(|v| *v), model.get(k, now)),
                Step::Peek(k) => {
                    let live = model.list.iter().find(|e| e.0 == k && e.3 > now);
                    prop_assert_eq!(
                        cache.peek(&k, now).map(|(v, t)| (*v, t)),
                        live.map(|e| (e.1, e.3))
                    );
                }
                Step::Insert(k, v, w, ttl) => {
                    let expires = expiry(now, Duration::from_secs(ttl));
                    let stored = cache.insert(k, Arc::new(v), w, expires);
                    prop_assert_eq!(stored, model.insert(k, v, w, expires));
                }
                Step::InsertOldest(k, v, w, ttl) => {
                    let expires = expiry(now, Duration::from_secs(ttl));
                    let fits = model.bytes() + w + OVERHEAD <= max;
                    let wanted = fits && !model.list.iter().any(|e| e.0 == k);
                    prop_assert_eq!(cache.insert_oldest(k, Arc::new(v), w, expires), wanted);
                    if wanted {
                        model.list.push((k, v, w, expires));
                    }
                }
                Step::Remove(k) => {
                    let held = model.list.iter().any(|e| e.0 == k);
                    model.list.retain(|e| e.0 != k);
                    prop_assert_eq!(cache.remove(&k), held);
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
                Step::Purge => {
                    cache.purge(now);
                    let before = model.list.len();
                    model.list.retain(|e| e.3 > now);
                    model.expired += (before - model.list.len()) as u64;
                }
                Step::Clear => {
                    cache.clear();
                    model.list.clear();
                }
            }
            let stats = cache.stats();
            prop_assert!(stats.bytes <= max);
            prop_assert_eq!(stats, LruStats {
                entries: model.list.len(),
                bytes: model.bytes(),
                evictions: model.evictions,
                expired: model.expired,
            });
        }
        let live: Vec<_> =
            model.list.iter().rev().filter(|e| e.3 > now).map(|e| (e.0, e.1, e.3)).collect();
        let held: Vec<_> = cache.entries(now).into_iter().map(|(k, v, t)| (k, *v, t)).collect();
        prop_assert_eq!(held, live);
    }
}

#[test]
fn tells_of_what_it_evicts_and_lets_the_callback_use_the_cache() {
    let told = Arc::new(AtomicUsize::new(0));
    let cache: Arc<Cache> = Arc::new_cyclic(|own: &std::sync::Weak<Cache>| {
        let (told, own) = (Arc::clone(&told), own.clone());
        Cache::new(300 + OVERHEAD * 2).with_on_evict(Box::new(move |key, _, cause| {
            told.fetch_add(if cause == Cause::Full { 1 } else { 100 }, Ordering::Relaxed);
            // No lock is held here: asking for what has just left deadlocks nothing.
            let now = tokio::time::Instant::now().into_std();
            assert!(own.upgrade().unwrap().get(key, now).is_none());
        }))
    });
    let now = tokio::time::Instant::now().into_std();
    for key in 0..3 {
        assert!(cache.insert(key, Arc::new(0), 150, now + Duration::from_secs(5)));
    }
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert!(cache.get(&2, now + Duration::from_secs(5)).is_none());
    assert_eq!(told.load(Ordering::Relaxed), 101);
}

#[test]
fn keeps_its_promise_with_many_shards_and_threads() {
    let max = SHARD_BYTES * 4;
    let cache: Lru<u32, Arc<u32>> = Lru::new(max);
    assert_eq!(cache.shards.len(), 4);
    let now = tokio::time::Instant::now().into_std();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let cache = &cache;
            scope.spawn(move || {
                for i in 0..5_000_u32 {
                    let key = (i * 7 + thread) % 2_000;
                    if let Some(value) = cache.get(&key, now) {
                        assert_eq!(*value, key);
                    }
                    cache.insert(key, Arc::new(key), 100_000, now + Duration::from_secs(9));
                    if i % 100 == 0 {
                        assert!(cache.stats().bytes <= max);
                    }
                }
            });
        }
    });
    assert!(cache.stats().evictions > 0);
    cache.clear();
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
}

#[test]
fn stores_nothing_larger_than_its_budget_and_nothing_at_all_with_none() {
    let now = tokio::time::Instant::now().into_std();
    let cache = Cache::new(1000);
    assert!(cache.insert(1, Arc::new(1), 10, now + Duration::from_secs(9)));
    assert!(!cache.insert(1, Arc::new(2), 1000, now + Duration::from_secs(9)));
    assert!(cache.get(&1, now).is_none(), "the old value must not stand for the new one");
    assert!(!Cache::new(0).insert(1, Arc::new(1), 0, now + Duration::from_secs(9)));
}

#[test]
fn retain_drops_what_is_refused_and_visit_shows_what_is_left_with_its_bytes() {
    let now = tokio::time::Instant::now().into_std();
    let lru = Lru::<u32, u32>::new(1 << 20);
    for key in 0..10 {
        assert!(lru.insert(key, key, 100, now + Duration::from_secs(u64::from(key) + 1)));
    }
    lru.retain(|key, _| key % 2 == 0);
    let (mut keys, mut bytes) = (Vec::new(), 0);
    lru.visit(now + Duration::from_secs(1), |key, _, weight, _| {
        keys.push(*key);
        bytes += weight;
    });
    assert_eq!(keys, [2, 4, 6, 8], "0 has expired");
    assert_eq!(lru.stats().entries, 5);
    assert_eq!(bytes * 5, lru.stats().bytes * 4);
}

#[test]
fn a_bound_evicts_the_oldest_at_once_and_holds_until_it_is_lifted() {
    let now = tokio::time::Instant::now().into_std();
    let later = now + Duration::from_secs(1);
    let cache = Cache::new(10 * (100 + OVERHEAD));
    let insert = |key| cache.insert(key, Arc::new(0), 100, later);
    assert!((0..10).all(insert));
    cache.bound(4 * (100 + OVERHEAD));
    let kept: Vec<_> = (0..10).filter(|key| cache.get(key, now).is_some()).collect();
    assert_eq!(kept, [6, 7, 8, 9]);
    assert!(insert(10));
    assert_eq!((cache.stats().entries, cache.stats().evictions), (4, 7));
    cache.bound(usize::MAX);
    assert!((0..6).all(insert));
    assert_eq!(cache.stats().entries, 10);
}
