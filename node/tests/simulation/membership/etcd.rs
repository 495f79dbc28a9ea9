//! A model of etcd: keys under leases, revisions, a history that is compacted, watches.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::rig::wire::{Link, serve};

pub(crate) const PORT: u16 = 2379;
/// How often leases and watches are looked after.
const LOOK: Duration = Duration::from_millis(50);

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Puts a key under a lease that lasts so many milliseconds, and grants it where there is none.
    Put {
        key: String,
        lease: u64,
        ttl: u64,
    },
    Beat(u64),
    List,
    /// Everything from this revision on, for as long as the connection lasts.
    Watch(i64),
}

/// What it hears.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Done,
    LeaseGone,
    Listed {
        cluster: u64,
        term: u64,
        revision: i64,
        keys: Vec<String>,
    },
    /// Revision, key, whether it was put.
    Events(Vec<(i64, String, bool)>),
    /// The history does not reach back that far.
    Compacted,
}

/// What is on its disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    cluster: u64,
    term: u64,
    revision: i64,
    compacted: i64,
    /// Keys and their leases.
    keys: BTreeMap<String, u64>,
    leases: BTreeMap<u64, Duration>,
    history: Vec<(i64, String, bool)>,
    /// Counts how often all watches were cut off.
    kicks: u64,
}

impl Disk {
    /// Another store, with nothing in it.
    pub(crate) fn wipe(&mut self) {
        *self = Self { cluster: self.cluster + 1, ..Self::default() };
    }

    /// Forgets the past.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }

    /// Ends all watches.
    pub(crate) fn kick(&mut self) {
        self.kicks += 1;
    }

    /// Ends a lease as if its time were over; the key goes with it.
    pub(crate) fn expire(&mut self, nth: usize) {
        if let Some(lease) = self.leases.keys().nth(nth).copied() {
            self.end(lease);
        }
    }

    /// Deletes all keys in one transaction.
    pub(crate) fn delete_all(&mut self) {
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        self.delete(keys);
    }

    fn put(&mut self, key: String, lease: u64, ttl: u64) {
        self.leases.insert(lease, Duration::from_millis(ttl));
        self.revision += 1;
        self.history.push((self.revision, key.clone(), true));
        self.keys.insert(key, lease);
    }

    fn end(&mut self, lease: u64) {
        self.leases.remove(&lease);
        let of = self.keys.iter().filter(|(_, of)| **of == lease);
        let keys = of.map(|(key, _)| key.clone()).collect();
        self.delete(keys);
    }

    fn delete(&mut self, keys: Vec<String>) {
        self.revision += i64::from(!keys.is_empty());
        for key in keys {
            self.keys.remove(&key);
            self.history.push((self.revision, key, false));
        }
    }
}

/// The server, on a disk that outlives it.
pub(crate) async fn run(disk: Arc<Mutex<Disk>>) -> turmoil::Result {
    disk.lock().term += 1;
    // As etcd does it: after a start every lease has its whole time again.
    let ends = Mutex::new(BTreeMap::new());
    let expiring = async {
        loop {
            expire(&disk, &ends);
            sleep(LOOK).await;
        }
    };
    let serving = serve(PORT, |link| answer(&disk, &ends, link));
    futures_util::future::select(Box::pin(serving), Box::pin(expiring)).await;
    Ok(())
}

fn expire(disk: &Mutex<Disk>, ends: &Mutex<BTreeMap<u64, Instant>>) {
    let (mut disk, mut ends, now) = (disk.lock(), ends.lock(), Instant::now());
    for (lease, ttl) in disk.leases.clone() {
        if *ends.entry(lease).or_insert(now + ttl) <= now {
            ends.remove(&lease);
            disk.end(lease);
        }
    }
}

async fn answer(
    disk: &Mutex<Disk>,
    ends: &Mutex<BTreeMap<u64, Instant>>,
    mut link: Link,
) -> io::Result<()> {
    loop {
        let told = match link.next().await? {
            Ask::Put { key, lease, ttl } => {
                disk.lock().put(key, lease, ttl);
                Told::Done
            }
            Ask::Beat(lease) => match disk.lock().leases.get(&lease) {
                Some(ttl) => {
                    ends.lock().insert(lease, Instant::now() + *ttl);
                    Told::Done
                }
                None => Told::LeaseGone,
            },
            Ask::List => {
                let Disk { cluster, term, revision, keys, .. } = &*disk.lock();
                let keys = keys.keys().cloned().collect();
                Told::Listed { cluster: *cluster, term: *term, revision: *revision, keys }
            }
            Ask::Watch(from) => return watch(disk, from, link).await,
        };
        link.send(&told).await?;
    }
}

async fn watch(disk: &Mutex<Disk>, mut from: i64, mut link: Link) -> io::Result<()> {
    let kicks = disk.lock().kicks;
    loop {
        let told = {
            let disk = disk.lock();
            if disk.kicks != kicks {
                return Ok(());
            }
            if from <= disk.compacted {
                Told::Compacted
            } else {
                let news = disk.history.iter().filter(|event| event.0 >= from);
                Told::Events(news.cloned().collect())
            }
        };
        match &told {
            Told::Events(events) if events.is_empty() => {}
            told => link.send(told).await?,
        }
        let Told::Events(events) = told else { return Ok(()) };
        from = events.last().map_or(from, |event| event.0 + 1);
        sleep(LOOK).await;
    }
}
