//! Reading a snapshot file: by all processors, hottest subjects first, and nothing is remembered
//! of it before all of it was found whole.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use hashbrown::HashSet;

use super::Inner;
use crate::{
    cache::{
        Mark,
        snapshot::{EntryReader, Index, Key, Unfit},
        stock_data_map::{Known, StockDataMap},
    },
    model::{Indicators, Revision, Subject},
    query::Source,
};

/// More threads than this wait for memory, not for processors.
const MOST_THREADS: usize = 8;

/// Which entries of a file may be used.
pub(super) struct Terms {
    /// Subjects written since the file was saved.
    pub(super) changed: HashSet<Subject>,
    /// The store's revision; nothing can be newer.
    pub(super) revision: Revision,
    /// From before `changed` was asked.
    pub(super) mark: Mark,
    /// How long ago the file was saved.
    pub(super) age: Duration,
}

/// What one thread made of sections.
#[derive(Default)]
struct Share {
    /// By the number of their section.
    sections: Vec<(usize, Vec<(Known, Instant)>)>,
    left_out: usize,
}

/// A file being read by several threads.
struct Load<'a> {
    index: &'a Index,
    key: Option<&'a Key>,
    terms: &'a Terms,
    indicators: &'a Indicators,
    now: Instant,
    /// The longest that an entry lives.
    longest: Duration,
    /// Bytes that may still be taken in; the rest of the file is only checked.
    max_bytes: usize,
    /// Sections that nobody has begun, from the front.
    left: AtomicUsize,
    bytes: AtomicUsize,
    failed: AtomicBool,
}

impl<S: Source> Inner<S> {
    /// Takes in all entries that the terms allow and that there is room for; counts them and the
    /// others. Either all of the file is good, or nothing of it is used.
    pub(super) fn load(
        &self,
        index: &Index,
        key: Option<&Key>,
        terms: &Terms,
        now: Instant,
    ) -> Result<(usize, usize), Unfit> {
        let limits = self.knowledge.limits();
        let indicators = self.source.indicators();
        let load = Load {
            index,
            key,
            terms,
            indicators: &indicators,
            now,
            longest: limits.ttl,
            max_bytes: limits.max_bytes,
            left: AtomicUsize::new(index.len()),
            bytes: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        };
        let shares = load.run()?;
        let left_out: usize = shares.iter().map(|share| share.left_out).sum();
        let mut sections: Vec<_> = shares.into_iter().flat_map(|share| share.sections).collect();
        sections.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        // The hottest come last in the file, and first into the cache.
        let maps = sections.into_iter().flat_map(|(_, maps)| maps.into_iter().rev());
        let (taken, late) = self.install(maps, terms.mark, now);
        Ok((taken, left_out + late))
    }

    /// Remembers maps, each behind the one before, that no write has touched since `mark` and that
    /// there is room for; counts them and the others.
    pub(super) fn install(
        &self,
        maps: impl Iterator<Item = (Known, Instant)>,
        mark: Mark,
        now: Instant,
    ) -> (usize, usize) {
        let (mut taken, mut left_out) = (0, 0);
        for (map, expires) in maps {
            let subject = Arc::clone(map.subject());
            let still = || !self.knowledge.writes.touched_since(mark, &subject);
            if self.knowledge.restore(map, expires, now, still) {
                taken += 1;
            } else {
                left_out += 1;
            }
        }
        (taken, left_out)
    }
}

impl Terms {
    /// How long an entry may still be used that had `ttl` milliseconds left; `None` is not at all.
    pub(super) fn left(&self, map: &StockDataMap, ttl: u64, longest: Duration) -> Option<Duration> {
        let left = Duration::from_millis(ttl).min(longest).saturating_sub(self.age);
        let fit = !left.is_zero()
            && map.revision() <= self.revision
            && !self.changed.contains(map.subject());
        fit.then_some(left)
    }
}

impl Load<'_> {
    fn run(&self) -> Result<Vec<Share>, Unfit> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = processors.min(MOST_THREADS).min(self.index.len());
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| self.share())).collect();
            let mut shares = vec![self.share()];
            shares.extend(others.into_iter().map(|other| {
                other.join().unwrap_or(Err(Unfit::Damaged("an entry could not be read")))
            }));
            shares.into_iter().collect()
        })
    }

    /// Reads sections from the back until none is left or one is bad.
    fn share(&self) -> Result<Share, Unfit> {
        let mut share = Share::default();
        let mut entries = EntryReader::new(self.indicators);
        let mut buffer = Vec::new();
        while !self.failed.load(Relaxed) {
            let next = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            let Ok(left) = next else { break };
            let section = left - 1;
            let read = self.section(section, &mut entries, &mut buffer, &mut share);
            if read.is_err() {
                self.failed.store(true, Relaxed);
            }
            read?;
        }
        Ok(share)
    }

    fn section(
        &self,
        section: usize,
        entries: &mut EntryReader<'_>,
        buffer: &mut Vec<u8>,
        share: &mut Share,
    ) -> Result<(), Unfit> {
        if self.bytes.load(Relaxed) > self.max_bytes {
            return self.index.check(section, buffer);
        }
        let plain = self.index.read(section, self.key, buffer)?;
        let (mut maps, mut bytes) = (Vec::new(), 0);
        let read = entries.section(&plain, |map, ttl| {
            if let Some(left) = self.terms.left(&map, ttl, self.longest) {
                bytes += map.bytes();
                maps.push((Arc::new(map), self.now + left));
            } else {
                share.left_out += 1;
            }
        });
        read.map_err(|why| {
            tracing::warn!(%why, "a cache snapshot holds what is no entry");
            Unfit::Damaged("an entry does not fit together")
        })?;
        self.bytes.fetch_add(bytes, Relaxed);
        share.sections.push((section, maps));
        Ok(())
    }
}
