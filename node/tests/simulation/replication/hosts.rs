//! The hosts: a master with the real feed, slaves with the real follower, each on a file that outlives it.

use std::{
    io,
    num::NonZeroUsize,
    path::Path,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future, stream};
use kamaitachi_node::{
    replication::{
        Ask as Question, Chunks, Feed, Follower, Seat, Settings, Transport, Unreachable, incoming,
        install,
    },
    store::{Durability, LogLimits, Mark, Need, Options, RowBatch, RowFacts, Rows, Store},
};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::timeout};

use super::{
    account::{Account, Ask, Told},
    still::{Still, Undivided, now},
};
use crate::rig::wire::{Link, serve};

/// Where clients ask, and where slaves do.
pub(crate) const CLIENTS: u16 = 8080;
const SLAVES: u16 = 8081;
/// So few that a slave which is away for some seconds needs a copy.
const LOG: u64 = 25;
/// How long a reader lets a slave catch up.
const CATCH_UP: Duration = Duration::from_millis(300);
const INDICATOR: &str = "operating_income";
const DATE: i64 = 1_703_980_800;

fn settings() -> Settings {
    let (timeout, retry_max) = (Duration::from_millis(1_500), Duration::from_secs(1));
    Settings { token: None, timeout, retry_max }
}

pub(crate) fn open(path: &Path, follows: bool) -> Store {
    let log = LogLimits { commits: LOG, ..LogLimits::default() };
    let (durability, readers) = (Durability::Normal, NonZeroUsize::MIN);
    // Looks that the machine's clock decides on are left out.
    let look_outside = Duration::from_hours(1);
    let base = Options { inline: true, ..Options::new(path) };
    let options = Options { durability, readers, look_outside, log, follows, ..base };
    now(Store::open(options)).unwrap()
}

/// The value of a subject, and as of which revision.
pub(crate) async fn value(store: &Store, subject: u8) -> Option<(u64, Option<u64>)> {
    let indicators = store.indicators().id(INDICATOR).into_iter().collect();
    let rows = Rows::Between { from: DATE, to: DATE };
    let need = Need { subject: name(subject).as_str().into(), rows, indicators };
    let (revision, found) = store.read(vec![need]).await.ok()?;
    let row = found.first().and_then(|found| found.rows.first());
    let value = row.and_then(|row| row.values.first().copied().flatten());
    Some((revision, value.map(|value| value.to_string().parse().unwrap())))
}

fn name(subject: u8) -> String {
    format!("33:{subject:06}")
}

fn row(subject: u8, value: u64) -> RowBatch {
    let mut batch = RowBatch::default();
    let value = value.to_string().parse().unwrap();
    batch.add(&name(subject), DATE, &[(INDICATOR, Some(value))], RowFacts::default());
    batch
}

/// A master on the file at `path`.
pub(crate) async fn master(path: PathBuf, account: Account) -> turmoil::Result {
    let store = open(&path, false);
    let slot = Arc::new(Mutex::new(Some(store.clone())));
    let feed = Feed::new(settings(), path.parent().unwrap().to_owned());
    let slaves = Still::new(serve(SLAVES, |link| give(&feed, &store, link)), &slot);
    let clients = serve(CLIENTS, |link| write(&store, &account, link));
    future::try_join(slaves, clients).await?;
    Ok(())
}

async fn give(feed: &Feed, store: &Store, mut link: Link) -> io::Result<()> {
    let asked: Option<Mark> = link
        .next::<Option<(String, u64, i64)>>()
        .await?
        .map(|(lineage, revision, nonce)| Mark { lineage, revision, nonce });
    let (pieces, mut out) = mpsc::channel::<Bytes>(64);
    let sending = async {
        while let Some(bytes) = out.recv().await {
            link.put(&bytes).await?;
        }
        Ok(())
    };
    match asked {
        Some(mark) => {
            let feeding = feed.give(store, Question::Changes(mark), "slave", pieces);
            future::try_join(feeding.map(Ok), sending).await.map(drop)
        }
        // Threads make it, and all of it fits into the channel.
        None => {
            now(feed.give(store, Question::Copy, "slave", pieces));
            sending.await
        }
    }
}

async fn write(store: &Store, account: &Account, mut link: Link) -> io::Result<()> {
    loop {
        let Ask::Write(subject, value) = link.next().await? else { return Ok(()) };
        let written = now(store.ingest(row(subject, value), true)).unwrap();
        account.wrote(written.revision, subject, value);
        link.send(&Told::Written(written.revision)).await?;
    }
}

/// A slave on the file at `path`.
pub(crate) async fn slave(
    own: &'static str,
    path: PathBuf,
    account: Account,
    seed: u64,
) -> turmoil::Result {
    let slot = Arc::new(Mutex::new(Some(open(&path, true))));
    let busy = Arc::new(AtomicBool::new(false));
    let seat = Place { own, slot: Arc::clone(&slot), path, account: account.clone() };
    let follower =
        Follower::new(Wire { busy: Arc::clone(&busy) }, seat, settings(), "master").seeded(seed);
    let clients = serve(CLIENTS, |link| read(&slot, link));
    let following = Undivided { inner: Box::pin(follower.run()), busy };
    // One after the other: whether a read came before a write would be up to their threads.
    let (following, clients) = (Still::new(following, &slot), Still::new(clients, &slot));
    future::join(following, clients).await.1?;
    Ok(())
}

async fn read(slot: &Mutex<Option<Store>>, mut link: Link) -> io::Result<()> {
    loop {
        let Ask::Read(subject, least) = link.next().await? else { return Ok(()) };
        let store = slot.lock().clone();
        let answer = async {
            let store = store?;
            timeout(CATCH_UP, store.reached(least)).await.ok()?;
            value(&store, subject).await
        };
        let told =
            answer.await.map_or(Told::Behind, |(revision, value)| Told::Value(revision, value));
        link.send(&told).await?;
    }
}

/// Where a slave's store is.
struct Place {
    own: &'static str,
    slot: Arc<Mutex<Option<Store>>>,
    path: PathBuf,
    account: Account,
}

impl Seat for Place {
    fn store(&self) -> Option<Store> {
        self.slot.lock().clone()
    }

    fn incoming(&self) -> PathBuf {
        incoming(&self.path)
    }

    async fn replace(&self, _: &Mark) -> Result<(), String> {
        if let Some(store) = self.slot.lock().take() {
            now(store.close());
        }
        let installed = install(&self.incoming(), &self.path, false);
        *self.slot.lock() = Some(open(&self.path, true));
        self.account.copied(self.own);
        installed.map_err(|error| error.to_string())
    }
}

/// The way to the master.
struct Wire {
    busy: Arc<AtomicBool>,
}

/// Set while a copy is taken in.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

impl Transport for Wire {
    fn open(
        &self,
        ask: Question,
    ) -> Pin<Box<dyn Future<Output = Result<Chunks, Unreachable>> + Send + '_>> {
        Box::pin(async move {
            let mut link = Link::connect(&format!("master:{SLAVES}")).await?;
            let (asked, whole) = match ask {
                Question::Copy => (None, true),
                Question::Changes(Mark { lineage, revision, nonce }) => {
                    (Some((lineage, revision, nonce)), false)
                }
            };
            link.send(&asked).await?;
            if whole {
                return Ok(gathered(link, &self.busy).await);
            }
            let chunks = stream::unfold(link, |mut link| async move {
                let chunk = link.bytes().await.ok()?;
                Some((Ok(Bytes::from(chunk)), link))
            });
            Ok(Box::pin(chunks) as Chunks)
        })
    }
}

/// A copy, as far as it comes. The file it goes to is written by a thread, while which the clock stands: it has to have
/// all at once, or it would wait for a network that waits for the clock.
async fn gathered(mut link: Link, busy: &Arc<AtomicBool>) -> Chunks {
    let mut chunks = Vec::new();
    while let Ok(Ok(chunk)) = timeout(settings().timeout / 2, link.bytes()).await {
        chunks.push(Ok(Bytes::from(chunk)));
    }
    busy.store(true, Relaxed);
    let held = Busy(Arc::clone(busy));
    Box::pin(stream::iter(chunks).inspect(move |_| {
        let _ = &held;
    }))
}
