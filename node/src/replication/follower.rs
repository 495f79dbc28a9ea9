//! The slave's end: asks, applies, starts from a copy where it must, and never gives up.

use std::{
    future::Future,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, timeout};

use super::{
    Ask, Decoder, Message, Progress, Settings, Transport, Unreachable, Unreadable, bootstrap,
    transport::{Chunks, jitter},
};
use crate::store::{Change, Mark, Store, StoreError};

/// Bytes that are taken in before they are applied, if more has arrived already.
const BATCH: usize = 4 << 20;
/// The first pause before a try.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The place of the store that follows, in which a copy can take its place.
pub trait Seat: Send + Sync + 'static {
    /// The store, if there is one.
    fn store(&self) -> Option<Store>;
    /// Where a copy is written on its way, on the file system of the store.
    fn incoming(&self) -> PathBuf;
    /// Puts the copy at [`incoming`](Self::incoming), which is of this mark, in the place of the
    /// store. On an error whatever is there stays, or nothing is.
    fn replace(&self, mark: &Mark) -> impl Future<Output = Result<(), String>> + Send;
}

/// How a follower is doing, for whoever asks.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) master: String,
    pub(super) progress: Mutex<Progress>,
    pub(super) bootstraps: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) phase: Mutex<&'static str>,
    pub(super) problem: Mutex<Option<String>>,
}

/// Keeps a store equal to its master's.
#[derive(Debug)]
pub struct Follower<T, S> {
    transport: T,
    seat: S,
    settings: Settings,
    status: Arc<Status>,
    /// Numbers that keep the pauses of slaves apart.
    random: Mutex<StdRng>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the master cannot be reached: {0}")]
    Unreachable(#[from] Unreachable),
    #[error("the connection to the master broke: {0}")]
    Broken(#[from] io::Error),
    #[error("the master ended the connection")]
    Closed,
    #[error("the master was silent for {0:?}")]
    Silent(Duration),
    #[error("the master sent {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the master said something out of turn")]
    OutOfTurn,
    #[error("others wrote to the file")]
    Disowned,
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the copy cannot be used: {0}")]
    Copy(String),
}

/// What is to be done when a session has ended well.
enum Next {
    FetchCopy,
    Follow,
}

impl<T: Transport, S: Seat> Follower<T, S> {
    /// Of the master at the other end of `transport`, whose address is `master`.
    pub fn new(transport: T, seat: S, settings: Settings, master: &str) -> Self {
        let status = Arc::new(Status {
            master: master.to_owned(),
            progress: Mutex::default(),
            bootstraps: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            phase: Mutex::new("connecting"),
            problem: Mutex::default(),
        });
        Self { transport, seat, settings, status, random: Mutex::new(rand::make_rng()) }
    }

    /// With pauses that follow from `seed`, and are the same again with the same one.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { random: Mutex::new(StdRng::seed_from_u64(seed)), ..self }
    }

    pub(super) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Follows for ever. Dropping the future stops it; what was applied stays.
    pub async fn run(&self) {
        let (mut pause, mut next, mut copied) = (FIRST_PAUSE, Next::Follow, false);
        loop {
            let connects = self.status.connects.load(Relaxed);
            let ended = match next {
                Next::Follow => self.follow().await,
                Next::FetchCopy => self.fetch_copy().await.inspect(|_| copied = true),
            };
            self.status.progress.lock().lose();
            if self.status.connects.load(Relaxed) > connects {
                (pause, copied) = (FIRST_PAUSE, false);
            }
            let problem = match ended {
                Ok(Next::FetchCopy) if copied => {
                    // One from which nothing can be followed is not fetched at once again.
                    (next, copied) = (Next::FetchCopy, false);
                    "a copy was not enough".to_owned()
                }
                Ok(then) => {
                    next = then;
                    continue;
                }
                Err(ended) => {
                    next = Next::Follow;
                    ended.to_string()
                }
            };
            self.wait(&mut pause, problem).await;
        }
    }

    /// Tells the problem and waits, longer each time.
    async fn wait(&self, pause: &mut Duration, problem: String) {
        *self.status.phase.lock() = "connecting";
        let wait = jitter((*pause).min(self.settings.retry_max), self.random.lock().random());
        tracing::warn!(master = self.status.master, problem, retry_in = ?wait, "not following");
        *self.status.problem.lock() = Some(problem);
        tokio::time::sleep(wait).await;
        *pause = pause.saturating_mul(2).min(self.settings.retry_max);
    }

    /// One connection: from where the store is, for as long as it lasts.
    async fn follow(&self) -> Result<Next, Ended> {
        let store = self.seat.store().filter(|store| !store.is_damaged());
        let mark = store.as_ref().map_or_else(Mark::default, |store| (*store.mark()).clone());
        let mut wire = self.open(Ask::Changes(mark)).await?;
        let mut pending = Pending::default();
        loop {
            wire.more(self.settings.timeout).await?;
            while let Some(message) = wire.decoder.message()? {
                match (message, &store) {
                    (Message::Following, Some(_)) => self.following(),
                    (Message::Beat(revision), Some(store)) => {
                        self.hear(revision, store);
                        if store.mark().lineage.is_empty() {
                            return Err(Ended::Disowned);
                        }
                    }
                    (Message::Beat(_), None) => {}
                    (Message::CopyNeeded(why), _) => {
                        tracing::info!(why, "starting from a copy of the master's store");
                        return Ok(Next::FetchCopy);
                    }
                    (Message::Change(change), Some(_)) => pending.take(change),
                    _ => return Err(Ended::OutOfTurn),
                }
            }
            let (Some(store), Some(changes)) = (&store, pending.whole()) else { continue };
            if !self.apply(store, changes).await? {
                return Ok(Next::FetchCopy);
            }
        }
    }

    fn following(&self) {
        self.status.connects.fetch_add(1, Relaxed);
        *self.status.phase.lock() = "following";
        *self.status.problem.lock() = None;
        tracing::info!(master = self.status.master, "following the master");
    }

    /// Applies whole commits; false where the store is not what they build on.
    async fn apply(&self, store: &Store, changes: Vec<Change>) -> Result<bool, Ended> {
        let commits = changes.iter().filter(|change| change.ends).count() as u64;
        match store.apply(changes).await {
            Ok(written) => {
                self.status.commits.fetch_add(commits, Relaxed);
                self.status.progress.lock().apply(written.revision, Instant::now().into_std());
                Ok(true)
            }
            Err(
                error @ (StoreError::Diverged(_)
                | StoreError::Unexpected(_)
                | StoreError::Corrupt
                | StoreError::Panicked),
            ) => {
                tracing::error!(%error, "the store differs from the master's: starting from a copy");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn hear(&self, announced: u64, store: &Store) {
        let now = Instant::now().into_std();
        self.status.progress.lock().hear(announced, store.revision(), now);
    }

    async fn fetch_copy(&self) -> Result<Next, Ended> {
        *self.status.phase.lock() = "copying";
        let began = Instant::now();
        let mut wire = self.open(Ask::Copy).await?;
        let (mark, size) = loop {
            match wire.next(self.settings.timeout).await? {
                Message::Beat(_) => {}
                Message::Copy { mark, size } => break (mark, size),
                _ => return Err(Ended::OutOfTurn),
            }
        };
        let path = self.seat.incoming();
        let mut file = bootstrap::Incoming::create(&path, size)?;
        loop {
            match wire.next(self.settings.timeout).await? {
                Message::Piece(bytes) => file.write(bytes).await?,
                Message::CopyEnd(sum) => {
                    file.finish(sum, &mark).await.map_err(Ended::Copy)?;
                    break;
                }
                _ => return Err(Ended::OutOfTurn),
            }
        }
        self.seat.replace(&mark).await.map_err(Ended::Copy)?;
        self.status.bootstraps.fetch_add(1, Relaxed);
        let (revision, took) = (mark.revision, began.elapsed());
        tracing::info!(bytes = size, revision, ?took, "started from a copy of the master's store");
        Ok(Next::Follow)
    }

    async fn open(&self, ask: Ask) -> Result<Wire, Ended> {
        let limit = self.settings.timeout;
        let opened = timeout(limit, self.transport.open(ask)).await;
        let chunks = opened.map_err(|_| Ended::Silent(limit))??;
        // A stream that has ended is not to be asked again, which `more` does.
        Ok(Wire { chunks: Box::pin(chunks.fuse()), decoder: Decoder::default() })
    }
}

/// Changes that wait to be applied.
#[derive(Default)]
struct Pending {
    changes: Vec<Change>,
    /// How many of them are parts of whole commits.
    whole: usize,
}

impl Pending {
    fn take(&mut self, change: Change) {
        let ends = change.ends;
        self.changes.push(change);
        if ends {
            self.whole = self.changes.len();
        }
    }

    /// The commits that are whole, if there are any.
    fn whole(&mut self) -> Option<Vec<Change>> {
        let rest = self.changes.split_off(self.whole);
        self.whole = 0;
        let whole = std::mem::replace(&mut self.changes, rest);
        (!whole.is_empty()).then_some(whole)
    }
}

/// A connection, as messages.
struct Wire {
    chunks: Chunks,
    decoder: Decoder,
}

impl Wire {
    /// Waits for bytes, then takes in what else has arrived.
    async fn more(&mut self, limit: Duration) -> Result<(), Ended> {
        let chunk = timeout(limit, self.chunks.next()).await.map_err(|_| Ended::Silent(limit))?;
        self.decoder.push(&chunk.ok_or(Ended::Closed)??);
        while self.decoder.waiting() < BATCH
            && let Some(Some(chunk)) = self.chunks.next().now_or_never()
        {
            self.decoder.push(&chunk?);
        }
        Ok(())
    }

    async fn next(&mut self, limit: Duration) -> Result<Message, Ended> {
        loop {
            if let Some(message) = self.decoder.message()? {
                return Ok(message);
            }
            let chunk = timeout(limit, self.chunks.next()).await;
            let chunk = chunk.map_err(|_| Ended::Silent(limit))?;
            self.decoder.push(&chunk.ok_or(Ended::Closed)??);
        }
    }
}
