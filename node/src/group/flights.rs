//! Single flight: concurrent callers for one key share one piece of work.
//!
//! The work runs in a task of its own with its own deadline, so a caller who goes away fails
//! nobody, and one who joins late waits no longer than the work may take. Work that panics fails
//! those who wait for it and leaves nothing behind.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

/// Why work that was waited for gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It panicked, or the runtime went away.
    #[error("panicked")]
    Panicked,
    /// It took longer than it may.
    #[error("took longer than {0:?}")]
    TooSlow(Duration),
}

/// Work under way, by key. Clones share it. Generic over the outcome.
pub struct Flights<K, T> {
    under_way: Arc<Mutex<HashMap<K, Flight<T>>>>,
}

struct Flight<T> {
    overtaken: Overtaken,
    outcome: Arc<Outcome<T>>,
}

/// What work comes to. Those who wait are woken in the order in which they came.
struct Outcome<T> {
    known: OnceLock<Result<T, Lost>>,
    told: Notify,
}

impl<T: Clone> Outcome<T> {
    async fn wait(&self) -> Result<T, Lost> {
        let told = self.told.notified();
        let mut told = std::pin::pin!(told);
        // From here on nothing that is told is missed.
        told.as_mut().enable();
        if self.known.get().is_none() {
            told.await;
        }
        self.known.get().cloned().unwrap_or(Err(Lost::Panicked))
    }
}

/// Tells the outcome; when it drops untold, the work panicked, or its runtime is gone.
struct Telling<T>(Arc<Outcome<T>>);

impl<T> Telling<T> {
    fn tell(&self, outcome: Result<T, Lost>) {
        // What was told first stands.
        let _ = self.0.known.set(outcome);
    }
}

impl<T> Drop for Telling<T> {
    fn drop(&mut self) {
        self.tell(Err(Lost::Panicked));
        self.0.told.notify_waiters();
    }
}

/// Whether a write has overtaken the work: then its outcome is for those who waited already, and
/// is not to be stored.
#[derive(Clone, Debug, Default)]
pub struct Overtaken(Arc<AtomicBool>);

impl Overtaken {
    /// Whether it has.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// What a caller of [`Flights::join`] got, and whether another had begun it.
#[derive(Clone, Debug)]
pub struct Landed<T> {
    /// The outcome.
    pub outcome: Result<T, Lost>,
    /// Whether the work was another caller's.
    pub shared: bool,
}

impl<K, T> Flights<K, T>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The outcome of the work under way for `key`, or of `work`, begun now.
    ///
    /// `look` runs before anything is begun, when no work for the key is under way any more: where
    /// it finds what was wanted nothing is begun. `work` is told whether it was overtaken, and must
    /// have stored its outcome by the time it ends. Cancel safe: the work goes on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn join<Fut>(
        &self,
        key: &K,
        deadline: Duration,
        look: impl FnOnce() -> Option<T>,
        work: impl FnOnce(Overtaken) -> Fut,
    ) -> Landed<T>
    where
        Fut: Future<Output = T> + Send + 'static,
    {
        let (outcome, shared) = {
            let mut under_way = self.under_way.lock();
            if let Some(flight) = under_way.get(key) {
                (Arc::clone(&flight.outcome), true)
            } else if let Some(found) = look() {
                return Landed { outcome: Ok(found), shared: true };
            } else {
                let overtaken = Overtaken::default();
                let outcome = Arc::new(Outcome { known: OnceLock::new(), told: Notify::new() });
                let telling = Telling(Arc::clone(&outcome));
                let flight = Flight { overtaken: overtaken.clone(), outcome: Arc::clone(&outcome) };
                under_way.insert(key.clone(), flight);
                let landing = Landing {
                    under_way: Arc::clone(&self.under_way),
                    key: key.clone(),
                    overtaken: overtaken.clone(),
                };
                let work = work(overtaken);
                tokio::spawn(async move {
                    // Dropped when the work ends, panics, or is dropped with its runtime; the
                    // landing first, so that whoever is told finds nothing under way.
                    let (telling, landing) = (telling, landing);
                    let outcome = timeout(deadline, work).await;
                    drop(landing);
                    telling.tell(outcome.map_err(|_| Lost::TooSlow(deadline)));
                });
                (outcome, false)
            }
        };
        Landed { outcome: outcome.wait().await, shared }
    }

    /// A write has come: what is under way for the key is not to be stored, and who comes from now
    /// on begins anew.
    pub fn overtake<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(flight) = self.under_way.lock().remove(key) {
            flight.overtaken.0.store(true, SeqCst);
        }
    }

    /// The same for all keys.
    pub fn overtake_all(&self) {
        for (_, flight) in self.under_way.lock().drain() {
            flight.overtaken.0.store(true, SeqCst);
        }
    }

    /// Whether work for the key is under way.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.under_way.lock().contains_key(key)
    }

    /// How much is under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.under_way.lock().len()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<K, T> Clone for Flights<K, T> {
    fn clone(&self) -> Self {
        Self { under_way: Arc::clone(&self.under_way) }
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.under_way.lock().len()).finish()
    }
}

/// Takes the work off the map, unless another has taken its place.
struct Landing<K: Hash + Eq, T> {
    under_way: Arc<Mutex<HashMap<K, Flight<T>>>>,
    key: K,
    overtaken: Overtaken,
}

impl<K: Hash + Eq, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        let mine = |flight: &Flight<T>| Arc::ptr_eq(&flight.overtaken.0, &self.overtaken.0);
        if under_way.get(&self.key).is_some_and(mine) {
            under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::{sync::Notify, task::JoinSet, time::sleep};

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_thousand_callers_share_one_piece_of_work() {
        let flights = Flights::<&str, u32>::default();
        let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut callers = JoinSet::new();
        for _ in 0..1000 {
            let (flights, begun, go) = (flights.clone(), Arc::clone(&begun), Arc::clone(&go));
            callers.spawn(async move {
                let work = |_| async move {
                    begun.fetch_add(1, SeqCst);
                    go.notified().await;
                    7
                };
                flights.join(&"key", LONG, || None, work).await
            });
        }
        while begun.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // All others have run up to their wait: the runtime is of one thread and fair.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        let landed = callers.join_all().await;
        assert_eq!(begun.load(SeqCst), 1);
        assert_eq!(landed.iter().filter(|one| one.shared).count(), 999);
        assert!(landed.iter().all(|one| one.outcome == Ok(7)) && flights.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_leaves_fails_nobody() {
        let flights = Flights::<&str, u32>::default();
        let work = |_| async {
            sleep(Duration::from_secs(2)).await;
            7
        };
        let first = timeout(Duration::from_secs(1), flights.join(&"key", LONG, || None, work));
        let second = flights.join(&"key", LONG, || None, |_| async { 8 });
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert_eq!((second.outcome, second.shared), (Ok(7), true));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_or_hangs_fails_its_callers_and_locks_nothing() {
        let flights = Flights::<&str, u32>::default();
        let work = |_| async { panic!("on purpose") };
        assert_eq!(flights.join(&"key", LONG, || None, work).await.outcome, Err(Lost::Panicked));
        let hangs = flights.join(&"key", LONG, || None, |_| std::future::pending()).await;
        assert_eq!(hangs.outcome, Err(Lost::TooSlow(LONG)));
        assert_eq!(flights.join(&"key", LONG, || None, |_| async { 7 }).await.outcome, Ok(7));
        assert!(flights.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_after_a_write_does_not_get_what_was_begun_before_it() {
        let flights = Flights::<&str, u32>::default();
        let slow = |overtaken: Overtaken| async move {
            sleep(Duration::from_secs(1)).await;
            assert!(overtaken.get());
            1
        };
        let before = flights.join(&"key", LONG, || None, slow);
        let after = async {
            sleep(Duration::from_millis(1)).await;
            flights.overtake("key");
            flights.join(&"key", LONG, || None, |_| async { 2 }).await
        };
        let (before, after) = tokio::join!(before, after);
        assert_eq!((before.outcome, after.outcome, after.shared), (Ok(1), Ok(2), false));
    }

    #[tokio::test]
    async fn what_is_there_by_now_is_not_worked_for() {
        let flights = Flights::<&str, u32>::default();
        let landed = flights.join(&"key", LONG, || Some(3), |_| async { unreachable!() }).await;
        assert_eq!(landed.outcome, Ok(3));
    }
}
