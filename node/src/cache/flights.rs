//! Reads under way, by subject: concurrent misses share one, and none that a write has overtaken
//! is remembered.
//!
//! # How a write and a read of the same subject meet
//!
//! A read registers a [`Ticket`] before it looks at the store. A write of revision R, before it
//! commits, raises the *floor* of all tickets of the subjects it touches to R and stays *pending*
//! for them until it has ended, so that tickets made meanwhile get the floor R too. What was read
//! at a revision below its ticket's floor is not remembered: its reader may not have seen the
//! write. Forgetting (by the write) and remembering (by the read) happen under one lock a subject,
//! so whichever comes second knows of the first. A ticket that begins after the write has ended
//! needs no floor: its reader sees the write. So what is kept is as much as there are reads and
//! writes in flight, and no more.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{load::Load, stock_data_map::Known};
use crate::{
    model::{Revision, Subject},
    store::{Need, Rows},
};

const SHARDS: usize = 64;
/// A read of this many subjects is quick enough for a query of fewer to wait for.
const QUICK: usize = 64;

/// All tickets, and the writes that are pending.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    pending: HashMap<Subject, SmallVec<[Revision; 2]>>,
    /// Writes that are known of, and not begun here: see [`Foretold`](super::foretold).
    foretold: HashMap<Subject, Revision>,
    tickets: HashMap<Subject, SmallVec<[Arc<Ticket>; 1]>>,
}

/// One subject of a read under way.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) subject: Subject,
    pub(crate) needs: SmallVec<[Need; 2]>,
    pub(crate) load: Arc<Load>,
    /// What was known when the read began, and until when.
    base: Option<(Known, Instant)>,
    /// Changed under the lock of the subject's shard alone.
    floor: AtomicU64,
    touched: AtomicBool,
    filled: OnceLock<Filled>,
}

/// What a read came to, for one subject.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    /// All that is known now.
    pub(crate) map: Known,
    /// The revision it was read at.
    pub(crate) revision: Revision,
    /// Whether a write has overtaken it.
    pub(crate) stale: bool,
}

/// What a ticket's answers may be merged into.
pub(crate) enum Ground {
    /// What was known when the read began, which no write has touched since.
    Base(Option<(Known, Instant)>),
    /// Only what is in the cache now: a write came between.
    CacheOnly,
    /// Nothing, and the result is not to be remembered.
    Stale,
}

/// What to do about a subject of which something is missing.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Nothing is missing any more.
    Known(Known),
    /// Wait for this read of someone else's.
    Join(Arc<Ticket>),
    /// Read it: this ticket is to be [settled](Flights::settle) or [dropped](Flights::forget).
    Lead(Arc<Ticket>),
}

impl Ticket {
    /// What the read came to, once its load has ended well.
    pub(crate) fn filled(&self) -> Option<&Filled> {
        self.filled.get()
    }
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Finds out, in one step, what is known, and whose read to wait for or to begin.
    ///
    /// `look` says what the cache holds now and what is missing from it.
    pub(crate) fn enter(
        &self,
        subject: &Subject,
        load: &Arc<Load>,
        look: impl FnOnce() -> (Option<(Known, Instant)>, SmallVec<[Need; 2]>),
    ) -> Entry {
        let mut shard = self.shard(subject).lock();
        let (base, needs) = look();
        let base = match base {
            Some((known, _)) if needs.is_empty() => return Entry::Known(known),
            base => base,
        };
        let tickets = shard.tickets.get(subject);
        let quick = QUICK.max(load.size());
        let other = tickets.into_iter().flatten().find(|ticket| {
            !ticket.touched.load(Relaxed)
                && ticket.load.size() <= quick
                && covers(&ticket.needs, &needs)
        });
        if let Some(other) = other {
            return Entry::Join(Arc::clone(other));
        }
        let pending = shard.pending.get(subject);
        let foretold = shard.foretold.get(subject);
        let floor = pending.into_iter().flatten().chain(foretold).copied().max().unwrap_or(0);
        let ticket = Arc::new(Ticket {
            subject: subject.clone(),
            needs,
            load: Arc::clone(load),
            base,
            floor: AtomicU64::new(floor),
            touched: AtomicBool::new(false),
            filled: OnceLock::new(),
        });
        shard.tickets.entry(subject.clone()).or_default().push(Arc::clone(&ticket));
        Entry::Lead(ticket)
    }

    /// Ends a ticket whose read succeeded at `revision`. `keep` merges the answers into the ground
    /// it is given, remembers the result unless that is stale, and returns it.
    pub(crate) fn settle(
        &self,
        ticket: &Arc<Ticket>,
        revision: Revision,
        keep: impl FnOnce(Ground) -> Known,
    ) {
        let mut shard = self.shard(&ticket.subject).lock();
        let stale = revision < ticket.floor.load(Relaxed);
        let ground = match (stale, ticket.touched.load(Relaxed)) {
            (true, _) => Ground::Stale,
            (false, true) => Ground::CacheOnly,
            (false, false) => Ground::Base(ticket.base.clone()),
        };
        let map = keep(ground);
        // Set once: a ticket is settled by the one task that leads it.
        let _ = ticket.filled.set(Filled { map, revision, stale });
        remove(&mut shard, ticket);
    }

    /// Ends a ticket whose read failed, unless it has ended already.
    pub(crate) fn forget(&self, ticket: &Arc<Ticket>) {
        remove(&mut self.shard(&ticket.subject).lock(), ticket);
    }

    /// A write of `revision` is about to change a subject; `forget` drops what the cache holds.
    pub(crate) fn touch(&self, subject: &Subject, revision: Revision, forget: impl FnOnce()) {
        let mut shard = self.shard(subject).lock();
        shard.pending.entry(subject.clone()).or_default().push(revision);
        shard.overtake(subject, revision);
        forget();
    }

    /// Others say that a subject was written at `revision`, which is not here yet: nothing read
    /// before it is remembered until that is [over](Self::tell_over), if the mark `stands`, and
    /// nothing that is being read now in any case. `forget` drops what the cache holds of before.
    pub(crate) fn foretell<T>(
        &self,
        subject: &Subject,
        revision: Revision,
        stands: bool,
        forget: impl FnOnce() -> T,
    ) -> T {
        let mut shard = self.shard(subject).lock();
        if stands {
            shard.foretold.insert(subject.clone(), revision);
        }
        shard.overtake(subject, revision);
        forget()
    }

    /// What was foretold of a subject for `revision` has come, or has not come for too long.
    pub(crate) fn tell_over(&self, subject: &Subject, revision: Revision) {
        let mut shard = self.shard(subject).lock();
        if shard.foretold.get(subject) == Some(&revision) {
            shard.foretold.remove(subject);
        }
    }

    /// The write of `revision` has ended, one way or the other.
    pub(crate) fn resolve(&self, subject: &Subject, revision: Revision) {
        let mut shard = self.shard(subject).lock();
        if let Some(pending) = shard.pending.get_mut(subject) {
            pending.retain(|other| *other != revision);
            if pending.is_empty() {
                shard.pending.remove(subject);
            }
        }
    }

    /// Runs `keep` unless a write of the subject is pending or foretold; none begins meanwhile.
    pub(crate) fn unless_pending<T>(
        &self,
        subject: &Subject,
        keep: impl FnOnce() -> T,
    ) -> Option<T> {
        let shard = self.shard(subject).lock();
        let expected = shard.pending.contains_key(subject) || shard.foretold.contains_key(subject);
        (!expected).then(keep)
    }

    /// How many tickets and pending writes there are: what this holds in memory.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(|shard| shard.lock());
        shards.fold((0, 0), |(tickets, pending), shard| {
            let expected = shard.pending.len() + shard.foretold.len();
            (tickets + shard.tickets.len(), pending + expected)
        })
    }

    fn shard(&self, subject: &str) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(subject) % SHARDS as u64;
        &self.shards[usize::try_from(hash).expect("below the number of shards")]
    }
}

impl Shard {
    /// Nothing that is being read of a subject may be remembered if it is older than `revision`.
    fn overtake(&self, subject: &Subject, revision: Revision) {
        for ticket in self.tickets.get(subject).into_iter().flatten() {
            ticket.floor.fetch_max(revision, Relaxed);
            ticket.touched.store(true, Relaxed);
        }
    }
}

fn remove(shard: &mut Shard, ticket: &Arc<Ticket>) {
    if let Some(tickets) = shard.tickets.get_mut(&ticket.subject) {
        tickets.retain(|other| !Arc::ptr_eq(other, ticket));
        if tickets.is_empty() {
            shard.tickets.remove(&ticket.subject);
        }
    }
}

impl Rows {
    /// Whether reading these tells what reading `wanted` would.
    fn covers(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Between { from, to }, Self::Between { from: first, to: last }) => {
                from <= first && last <= to
            }
            (Self::Between { from, to }, Self::Newest { not_before, at }) => {
                from <= not_before && at <= to
            }
            (Self::Newest { not_before, at }, Self::Newest { not_before: least, at: most }) => {
                not_before <= least && at == most
            }
            (Self::Newest { .. }, Self::Between { .. }) => false,
        }
    }
}

/// Whether the answers to `read` tell everything that the answers to `wanted` would.
pub(crate) fn covers(read: &[Need], wanted: &[Need]) -> bool {
    wanted.iter().all(|want| {
        read.iter().any(|have| {
            have.rows.covers(want.rows)
                && want.indicators.iter().all(|id| have.indicators.contains(id))
        })
    })
}
