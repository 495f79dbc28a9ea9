//! A store over a [`World`] whose reads and writes can be held up at any point.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{World, indicators};
use crate::{
    model::{Indicators, Revision, Subject},
    query::Source,
    store::{Found, MAX_ROWS, Mark, Need, StoreError, Touched, WriteObserver},
};

/// Cheap to clone; all clones are one store.
#[derive(Clone, Default)]
pub(crate) struct Mock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// All there ever was, by revision; the last is committed.
    history: Mutex<Vec<Arc<World>>>,
    confirmed: AtomicU64,
    observer: Mutex<Option<Arc<dyn WriteObserver>>>,
    log: Mutex<Vec<Vec<Need>>>,
    lists: AtomicUsize,
    trouble: Mutex<Trouble>,
    waiting: AtomicUsize,
    /// Rows that one read may give; 0 = any number.
    most: AtomicUsize,
    /// Turns to yield before and after a read takes its snapshot, from a seed.
    delays: Mutex<Option<u64>>,
}

/// Where a gate holds reads up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    BeforeSnapshot,
    AfterSnapshot,
}

#[derive(Default)]
struct Trouble {
    gates: Vec<(Stage, Arc<Notify>)>,
    fail: bool,
    panic: bool,
}

/// Held by a test; reads that began since wait until it is opened.
pub(crate) struct Gate {
    mock: Mock,
    notify: Arc<Notify>,
}

impl Gate {
    /// Lets through who waits, and whoever comes.
    pub(crate) fn open(self) {
        self.mock.shared.trouble.lock().gates.retain(|(_, gate)| !Arc::ptr_eq(gate, &self.notify));
        self.notify.notify_waiters();
    }
}

impl Mock {
    pub(crate) fn new(world: World) -> Self {
        let mock = Self::default();
        mock.shared.confirmed.store(world.revision, SeqCst);
        mock.shared.history.lock().push(Arc::new(world));
        mock
    }

    pub(crate) fn observe(&self, observer: Arc<dyn WriteObserver>) {
        *self.shared.observer.lock() = Some(observer);
    }

    /// The world as last committed.
    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(self.shared.history.lock().last().unwrap())
    }

    /// All worlds of revision `from` and later.
    pub(crate) fn since(&self, from: Revision) -> Vec<Arc<World>> {
        let history = self.shared.history.lock();
        history.iter().filter(|world| world.revision >= from).cloned().collect()
    }

    /// The newest revision whose write has returned.
    pub(crate) fn confirmed(&self) -> Revision {
        self.shared.confirmed.load(SeqCst)
    }

    /// Tells the observer that the next write is about to commit, and returns its revision.
    pub(crate) fn begin(&self, touched: &Touched) -> Revision {
        let revision = self.world().revision + 1;
        self.observer().before_commit(revision, touched);
        revision
    }

    /// Commits what [`begin`](Self::begin) announced: readers see it from now on.
    pub(crate) fn commit(&self, change: impl FnOnce(&mut World, Revision)) {
        let mut history = self.shared.history.lock();
        let mut world = World::clone(history.last().unwrap());
        world.revision += 1;
        let revision = world.revision;
        change(&mut world, revision);
        history.push(Arc::new(world));
    }

    /// Tells the observer that the write has ended well.
    pub(crate) fn end(&self, revision: Revision, touched: &Touched) {
        self.observer().after_commit(revision, touched);
        self.shared.confirmed.fetch_max(revision, SeqCst);
    }

    pub(crate) fn abort(&self, revision: Revision, touched: &Touched) {
        self.observer().aborted(revision, touched);
    }

    /// A whole write.
    pub(crate) fn write(&self, touched: &Touched, change: impl FnOnce(&mut World, Revision)) {
        let revision = self.begin(touched);
        self.commit(change);
        self.end(revision, touched);
    }

    fn observer(&self) -> Arc<dyn WriteObserver> {
        self.shared.observer.lock().clone().expect("observed")
    }

    /// What was read since the last call, one entry for each read.
    pub(crate) fn reads(&self) -> Vec<Vec<Need>> {
        std::mem::take(&mut *self.shared.log.lock())
    }

    /// How many lists were read since the last call.
    pub(crate) fn lists(&self) -> usize {
        self.shared.lists.swap(0, SeqCst)
    }

    /// Holds up reads that begin from now on, after they have taken their snapshot.
    pub(crate) fn gate(&self) -> Gate {
        self.gate_at(Stage::AfterSnapshot)
    }

    /// Holds up reads that begin from now on, before they take their snapshot.
    pub(crate) fn gate_before(&self) -> Gate {
        self.gate_at(Stage::BeforeSnapshot)
    }

    fn gate_at(&self, stage: Stage) -> Gate {
        let notify = Arc::new(Notify::new());
        self.shared.trouble.lock().gates.push((stage, Arc::clone(&notify)));
        Gate { mock: self.clone(), notify }
    }

    async fn pass(&self, stage: Stage) {
        let gate = {
            let trouble = self.shared.trouble.lock();
            let gate = trouble.gates.iter().rev().find(|(other, _)| *other == stage);
            gate.map(|(_, gate)| Arc::clone(gate))
        };
        if let Some(gate) = gate {
            let mut opened = pin!(gate.notified());
            // Registered before anyone can see that the read waits.
            opened.as_mut().enable();
            self.shared.waiting.fetch_add(1, SeqCst);
            opened.await;
            self.shared.waiting.fetch_sub(1, SeqCst);
        }
    }

    /// How many wait at a gate.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.waiting.load(SeqCst)
    }

    /// Refuses reads of more rows from now on.
    pub(crate) fn limit(&self, most: usize) {
        self.shared.most.store(most, SeqCst);
    }

    pub(crate) fn fail(&self, fail: bool) {
        self.shared.trouble.lock().fail = fail;
    }

    pub(crate) fn panic(&self, panic: bool) {
        self.shared.trouble.lock().panic = panic;
    }

    /// Lets every read yield a number of turns that follows from the seed.
    pub(crate) fn delay(&self, seed: u64) {
        *self.shared.delays.lock() = Some(seed | 1);
    }

    async fn pause(&self) {
        let turns = {
            let mut delays = self.shared.delays.lock();
            let Some(state) = delays.as_mut() else { return };
            // Xorshift: any mixing will do.
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *state % 4
        };
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Takes a snapshot, answers from it, and lets the answer wait as it is told.
    async fn answer<T>(
        &self,
        answer: impl FnOnce(&World) -> T,
    ) -> Result<(Revision, T), StoreError> {
        self.pause().await;
        self.pass(Stage::BeforeSnapshot).await;
        let world = self.world();
        self.pass(Stage::AfterSnapshot).await;
        let (fail, panic) = {
            let trouble = self.shared.trouble.lock();
            (trouble.fail, trouble.panic)
        };
        assert!(!panic, "told to");
        if fail {
            return Err(StoreError::DiskFailed);
        }
        let answer = answer(&world);
        self.pause().await;
        Ok((world.revision, answer))
    }
}

impl Source for Mock {
    async fn read(&self, needs: Vec<Need>) -> Result<(Revision, Vec<Found>), StoreError> {
        self.shared.log.lock().push(needs.clone());
        let answer = |world: &World| needs.iter().map(|need| world.answer(need)).collect();
        let (revision, found): (_, Vec<Found>) = self.answer(answer).await?;
        let (rows, limit) =
            (found.iter().map(|found| found.rows.len()).sum::<usize>(), self.max_rows());
        if rows > limit { Err(StoreError::TooManyRows { limit }) } else { Ok((revision, found)) }
    }

    fn max_rows(&self) -> usize {
        match self.shared.most.load(SeqCst) {
            0 => MAX_ROWS,
            most => most,
        }
    }

    async fn topic_members(&self, topic: &str) -> Result<(Revision, Vec<Subject>), StoreError> {
        self.shared.lists.fetch_add(1, SeqCst);
        self.answer(|world| world.members(topic)).await
    }

    async fn tagged(
        &self,
        topic: &str,
        id: &str,
        keyword: &str,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        self.shared.lists.fetch_add(1, SeqCst);
        self.answer(|world| world.tagged(topic, id, keyword)).await
    }

    async fn changes_since(
        &self,
        revision: Revision,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        let now = self.world();
        self.pass(Stage::AfterSnapshot).await;
        // What differs from the world as it was then, seen the slow way.
        let then = self.since(revision).first().cloned();
        let changed = now.stocks.iter().filter(|(subject, stock)| {
            let old = then.as_ref().and_then(|then| then.stocks.get(*subject));
            old.is_none_or(|old| format!("{old:?}") != format!("{stock:?}"))
        });
        Ok((now.revision, changed.map(|(subject, _)| Subject::from(&**subject)).collect()))
    }

    fn mark(&self) -> Arc<Mark> {
        Arc::new(Mark { revision: self.confirmed(), ..Mark::default() })
    }

    async fn nonce_of(&self, _: Revision) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    fn revision(&self) -> Revision {
        self.confirmed()
    }

    fn indicators(&self) -> Arc<Indicators> {
        indicators()
    }
}
