//! All that a node remembers, kept true while the store is written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{
    counters::Counters,
    flights::{Entry, Flights, Ground, Ticket},
    foretold::{Foretold, Heard},
    load::Load,
    lru::{Lru, LruStats, expiry},
    members::MemberCache,
    stock_data_map::{Known, Learned, StockDataMap},
    writes::Writes,
};
use crate::{
    model::{Revision, Subject},
    store::{Found, Need, Touched, WriteObserver},
};

/// How much a node may remember, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The most bytes everything remembered may take together.
    pub max_bytes: usize,
    /// How long a thing is remembered after it was first read.
    pub ttl: Duration,
}

impl Default for CacheLimits {
    /// 256 MiB and one hour.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, ttl: Duration::from_secs(3600) }
    }
}

/// Subjects, unknown subjects and memberships, each within its own share of the bytes, so that
/// who asks for names that do not exist drives out nothing that does.
#[derive(Debug)]
pub(crate) struct Knowledge {
    subjects: Lru<Subject, Known>,
    unknown: Lru<Subject, Known>,
    pub(crate) members: MemberCache,
    pub(crate) flights: Flights,
    pub(crate) writes: Writes,
    foretold: Foretold,
    pub(crate) counters: Counters,
    limits: CacheLimits,
}

/// How the bytes are divided.
struct Shares {
    subjects: usize,
    unknown: usize,
    members: usize,
}

impl Shares {
    fn of(max: usize) -> Self {
        let members = (max / 16).max((max / 4).min(1 << 20));
        let unknown = (max / 32).max((max / 8).min(1 << 18));
        Self { subjects: max - members - unknown, unknown, members }
    }
}

impl Knowledge {
    pub(crate) fn new(limits: CacheLimits, visible: Revision) -> Self {
        let Shares { subjects, unknown, members } = Shares::of(limits.max_bytes);
        Self {
            subjects: Lru::new(subjects),
            unknown: Lru::new(unknown),
            members: MemberCache::new(members, limits.ttl),
            flights: Flights::new(),
            writes: Writes::new(visible),
            foretold: Foretold::new(visible),
            counters: Counters::new(),
            limits,
        }
    }

    /// What is known of a subject, which is used now.
    pub(crate) fn get(&self, subject: &str, now: Instant) -> Option<Known> {
        self.subjects.get(subject, now).or_else(|| self.unknown.get(subject, now))
    }

    /// What is known of a subject and until when; its place in the order stays.
    pub(crate) fn peek(&self, subject: &str, now: Instant) -> Option<(Known, Instant)> {
        self.subjects.peek(subject, now).or_else(|| self.unknown.peek(subject, now))
    }

    /// Finds out what `plan` lacks, and whose read to wait for or to begin.
    pub(crate) fn enter(
        &self,
        subject: &Subject,
        load: &Arc<Load>,
        now: Instant,
        plan: impl FnOnce(Option<&StockDataMap>) -> SmallVec<[Need; 2]>,
    ) -> Entry {
        self.flights.enter(subject, load, || {
            let base = self.peek(subject, now);
            let needs = plan(base.as_ref().map(|(known, _)| &**known));
            (base, needs)
        })
    }

    /// Ends a ticket with what was found for its needs at `revision`, and remembers the result if
    /// it is still true.
    pub(crate) fn settle(
        &self,
        ticket: &Arc<Ticket>,
        found: &[Found],
        revision: Revision,
        now: Instant,
    ) {
        let subject = &ticket.subject;
        let learned: SmallVec<[Learned<'_>; 2]> =
            ticket.needs.iter().zip(found).map(|(need, found)| Learned { need, found }).collect();
        self.flights.settle(ticket, revision, |ground| {
            let (base, stale) = match ground {
                // What others have learned meanwhile is in the cache and goes first.
                Ground::Base(base) => (self.peek(subject, now).or(base), false),
                Ground::CacheOnly => (self.peek(subject, now), false),
                Ground::Stale => (None, true),
            };
            let old = base.as_ref().map(|(known, _)| &**known);
            let map = Arc::new(StockDataMap::merge(old, subject, &learned, revision));
            if stale {
                self.counters.rejected_stale();
            } else {
                let expires = base.map_or_else(|| expiry(now, self.limits.ttl), |(_, at)| at);
                self.put(Arc::clone(&map), expires);
            }
            map
        });
    }

    /// Stores knowledge in its place, and takes it out of the other one.
    fn put(&self, map: Known, expires: Instant) {
        let (own, other) = if map.exists() {
            (&self.subjects, &self.unknown)
        } else {
            (&self.unknown, &self.subjects)
        };
        other.remove(&**map.subject());
        // The subject's text is in the map's own bytes; the key is a further pointer to it.
        let weight = map.bytes();
        own.insert(map.subject().clone(), map, weight, expires);
    }

    /// Remembers what was read at another time, behind all that is remembered already, unless a
    /// write is about to overtake it or `still` says that one has. What is known of the subject
    /// stays as it is, and nothing has to make room.
    ///
    /// Returns whether it is remembered.
    pub(crate) fn restore(
        &self,
        map: Known,
        expires: Instant,
        now: Instant,
        still: impl FnOnce() -> bool,
    ) -> bool {
        let subject = map.subject().clone();
        let keep = || {
            if !still() || self.peek(&subject, now).is_some() {
                return false;
            }
            let own = if map.exists() { &self.subjects } else { &self.unknown };
            let weight = map.bytes();
            own.insert_oldest(map.subject().clone(), map, weight, expires)
        };
        self.flights.unless_pending(&subject, keep).unwrap_or(false)
    }

    /// Everything known of subjects, with the time at which it expires.
    pub(crate) fn entries(&self, now: Instant) -> Vec<(Known, Instant)> {
        let both = [&self.unknown, &self.subjects].map(|lru| lru.entries(now));
        both.into_iter().flatten().map(|(_, known, expires)| (known, expires)).collect()
    }

    /// Others say that a subject was written at `revision`. If the store here is not as far, what
    /// is remembered from before goes, and nothing from before is remembered until it is: for ten
    /// seconds at the most, and of ten thousand subjects at a time.
    pub(crate) fn foretell(&self, subject: &Subject, revision: Revision, now: Instant) -> Heard {
        self.foretold.tell(subject, revision, now, |stands| {
            self.flights.foretell(subject, revision, stands, || {
                let older = |(known, _): &(Known, _)| known.revision() < revision;
                self.peek(subject, now).filter(older).is_some() && self.forget(subject)
            })
        })
    }

    /// Drops what has been foretold and has not come for too long.
    pub(crate) fn purge_foretold(&self, now: Instant) {
        self.foretold.purge(now, |subject, revision| self.flights.tell_over(subject, revision));
    }

    /// Forgets a subject; says whether anything was known of it.
    pub(crate) fn forget(&self, subject: &str) -> bool {
        let (known, unknown) = (self.subjects.remove(subject), self.unknown.remove(subject));
        known || unknown
    }

    /// How many subjects are foretold to be written.
    pub(crate) fn foretold(&self) -> usize {
        self.foretold.len()
    }

    pub(crate) fn clear(&self) {
        self.subjects.clear();
        self.unknown.clear();
        self.members.clear();
    }

    /// Holds everything to so many bytes together, at most as many as it was made for.
    pub(crate) fn bound(&self, bytes: usize) {
        let Shares { subjects, unknown, members } = Shares::of(bytes.min(self.limits.max_bytes));
        self.subjects.bound(subjects);
        self.unknown.bound(unknown);
        self.members.bound(members);
    }

    /// Drops what has expired.
    pub(crate) fn purge(&self, now: Instant) {
        self.subjects.purge(now);
        self.unknown.purge(now);
        self.members.purge(now);
    }

    pub(crate) fn reset_counters(&self) {
        self.counters.reset();
        self.subjects.reset_counters();
        self.unknown.reset_counters();
        self.members.reset_counters();
    }

    pub(crate) fn limits(&self) -> CacheLimits {
        self.limits
    }

    /// Entries are subjects; bytes, evictions and expiries are of everything.
    pub(crate) fn stats(&self) -> LruStats {
        let (known, unknown) = (self.subjects.stats(), self.unknown.stats());
        let members = self.members.stats();
        LruStats {
            entries: known.entries + unknown.entries,
            bytes: known.bytes + unknown.bytes + members.bytes,
            evictions: known.evictions + unknown.evictions + members.evictions,
            expired: known.expired + unknown.expired + members.expired,
        }
    }

    fn end(&self, revision: Revision, touched: &Touched) {
        for subject in &touched.subjects {
            self.flights.resolve(subject, revision);
        }
        if touched.membership {
            self.members.resolve(revision);
        }
        self.writes.end(revision);
    }
}

impl WriteObserver for Knowledge {
    fn before_commit(&self, revision: Revision, touched: &Touched) {
        self.writes.begin(revision, touched);
        for subject in &touched.subjects {
            self.flights.touch(subject, revision, || {
                self.forget(subject);
            });
        }
        if touched.membership {
            self.members.touch(revision);
        }
    }

    fn after_commit(&self, revision: Revision, touched: &Touched) {
        self.writes.seen(revision);
        self.end(revision, touched);
        let over = |subject: &Subject, revision| self.flights.tell_over(subject, revision);
        self.foretold.applied(revision, over);
    }

    fn aborted(&self, revision: Revision, touched: &Touched) {
        self.end(revision, touched);
    }
}
