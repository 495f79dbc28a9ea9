//! The way of a query of which something is not known: gather, read, and see that the parts
//! belong together.
//!
//! # Consistency
//!
//! Parts come from the cache, from a read of one's own, and from reads of others. A part that no
//! write has touched since the query began goes with everything. Parts that were touched go
//! together only if they were read in the same transaction. If they do not, all is gathered anew;
//! under writes that never pause, the last tries read everything in one transaction, past the
//! cache, which needs no luck.

use std::{sync::Arc, time::Instant};

use super::{Gathered, Inner, read::Rows, scope::Names};
use crate::{
    cache::{
        Entry, Load, Mark, Members, Ticket,
        stock_data_map::{Known, Learned, StockDataMap},
    },
    model::{Revision, Subject},
    query::{CacheStatus, QueryError, Scope, Source, plan::Ask},
    store::{Need, StoreError},
};

/// Tries that use the cache, and tries in all.
const CACHED_TRIES: usize = 4;
const TRIES: usize = 16;

/// When a part was read; `None` where it was known.
type ReadAt = Option<Revision>;

/// A part of an answer.
struct Part {
    map: Known,
    read: ReadAt,
}

/// What the query found when it first looked.
#[derive(Default)]
struct Tally {
    known: usize,
    missing: usize,
    some_known: bool,
    read_storage: bool,
}

impl Tally {
    fn status(&self) -> CacheStatus {
        match (self.read_storage, self.some_known || self.known > 0) {
            (false, _) => CacheStatus::Hit,
            (true, true) => CacheStatus::Partial,
            (true, false) => CacheStatus::Miss,
        }
    }
}

impl<S: Source> Inner<S> {
    /// Gathers all that an answer needs.
    pub(super) async fn learn(
        self: Arc<Self>,
        scope: &Scope,
        ask: &Ask,
        now: Instant,
    ) -> Result<Gathered, QueryError> {
        let mut first = Tally::default();
        for turn in 0..TRIES {
            let mark = self.knowledge.writes.mark();
            let mut tally = Tally::default();
            let list = self.resolve(scope, mark, now, &mut tally).await?;
            let parts = match &list {
                None => None,
                Some((members, _)) => {
                    let names = scope.names(members);
                    if turn < CACHED_TRIES {
                        self.gather(&names, ask, mark, now, &mut tally).await?
                    } else {
                        tally.read_storage = true;
                        Some(self.read_past(&names, ask).await?)
                    }
                }
            };
            // Whatever a later turn finds, the request is what it was at first.
            let read_storage = first.read_storage | tally.read_storage;
            first = if turn == 0 { tally } else { first };
            first.read_storage = read_storage;
            if let (Some((members, read)), Some(parts)) = (&list, parts)
                && self.agree(mark, &scope.names(members), &parts, *read)
            {
                return Ok(self.count(&first, parts, mark));
            }
        }
        Err(QueryError::Unsettled)
    }

    fn count(&self, tally: &Tally, parts: Vec<Part>, mark: Mark) -> Gathered {
        let status = tally.status();
        let counters = &self.knowledge.counters;
        match status {
            CacheStatus::Hit => counters.hit(tally.known),
            CacheStatus::Partial => counters.miss(true, tally.known, tally.missing),
            CacheStatus::Miss => counters.miss(false, tally.known, tally.missing),
        }
        let maps = parts.into_iter().map(|part| part.map).collect();
        Gathered { maps, status, revision: mark.visible }
    }

    /// The members a scope picks from: none, and read never, where it picks from none. `None` when
    /// what was read is older than the query.
    async fn resolve(
        self: &Arc<Self>,
        scope: &Scope,
        mark: Mark,
        now: Instant,
        tally: &mut Tally,
    ) -> Result<Option<(Members, Option<ReadAt>)>, QueryError> {
        let Some(lookup) = scope.lookup() else { return Ok(Some((Members::default(), None))) };
        match self.members(lookup.key(), now).await? {
            Ok(members) => {
                tally.some_known = true;
                Ok(Some((members, Some(None))))
            }
            Err(filled) => {
                tally.read_storage = true;
                let overtaken = filled.stale && filled.revision < mark.visible;
                Ok((!overtaken).then_some((filled.members, Some(Some(filled.revision)))))
            }
        }
    }

    /// All parts, each from the cache or from a read; `None` when one did not come out right.
    async fn gather(
        self: &Arc<Self>,
        names: &Names<'_>,
        ask: &Ask,
        mark: Mark,
        now: Instant,
        tally: &mut Tally,
    ) -> Result<Option<Vec<Part>>, QueryError> {
        let mut parts: Vec<Result<Part, Arc<Ticket>>> = Vec::with_capacity(names.len());
        let look = |name: &&str| self.knowledge.get(name, now).filter(|map| ask.is_known(map));
        let known: Vec<Option<Known>> = names.iter().map(look).collect();
        let missing = known.iter().filter(|map| map.is_none()).count();
        let mut rows = Rows::new(Arc::clone(self), Load::new(missing));
        for (name, known) in names.iter().zip(known) {
            let entry = match known {
                Some(map) => Entry::Known(map),
                None => self.enter(name, ask, rows.load(), now, tally),
            };
            parts.push(match entry {
                Entry::Known(map) => Ok(Part { map, read: None }),
                Entry::Join(ticket) => Err(ticket),
                Entry::Lead(ticket) => {
                    rows.lead(Arc::clone(&ticket));
                    Err(ticket)
                }
            });
        }
        let own = Arc::clone(rows.load());
        rows.start();
        tally.known = parts.iter().filter(|part| part.is_ok()).count();
        tally.missing = parts.len() - tally.known;
        tally.read_storage |= tally.missing > 0;
        let mut gathered = Vec::with_capacity(parts.len());
        for part in parts {
            let part = match part {
                Ok(part) => Some(part),
                Err(ticket) => landed(&ticket, &own, ask, mark).await?,
            };
            match part {
                Some(part) => gathered.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(gathered))
    }

    fn enter(
        &self,
        name: &str,
        ask: &Ask,
        load: &Arc<Load>,
        now: Instant,
        tally: &mut Tally,
    ) -> Entry {
        let subject: Subject = name.into();
        self.knowledge.enter(&subject, load, now, |map| {
            let plan = ask.plan(&subject, map);
            tally.some_known |= plan.some_known;
            plan.needs
        })
    }

    /// All parts in one read that is neither shared nor remembered.
    async fn read_past(&self, names: &Names<'_>, ask: &Ask) -> Result<Vec<Part>, QueryError> {
        let subjects: Vec<Subject> = names.iter().map(|name| Subject::from(*name)).collect();
        let needs: Vec<Need> = subjects.iter().map(|subject| ask.whole(subject)).collect();
        let (revision, found) = self.source.read(needs.clone()).await?;
        self.knowledge.writes.seen(revision);
        let parts =
            subjects.iter().zip(needs.iter().zip(&found)).map(|(subject, (need, found))| {
                let learned = [Learned { need, found }];
                let map = Arc::new(StockDataMap::merge(None, subject, &learned, revision));
                Part { map, read: Some(revision) }
            });
        Ok(parts.collect())
    }

    /// Whether all parts can be of one revision.
    fn agree(&self, mark: Mark, names: &Names<'_>, parts: &[Part], list: Option<ReadAt>) -> bool {
        let writes = &self.knowledge.writes;
        if writes.calm_since(mark) {
            return true;
        }
        let list = list.filter(|_| writes.members_touched_since(mark));
        let touched = names.iter().zip(parts).filter(|(name, _)| writes.touched_since(mark, name));
        let mut touched = list.into_iter().chain(touched.map(|(_, part)| part.read));
        match touched.next() {
            None => true,
            Some(None) => touched.next().is_none(),
            Some(first) => touched.all(|other| other == first),
        }
    }
}

/// Waits for a ticket; `None` when it does not tell what is asked, or is older than the query, or
/// was part of a read for others that was too large: `own` may not be.
async fn landed(
    ticket: &Ticket,
    own: &Arc<Load>,
    ask: &Ask,
    mark: Mark,
) -> Result<Option<Part>, QueryError> {
    match ticket.load.ended().await {
        Err(QueryError::Storage(StoreError::TooManyRows { .. }))
            if !Arc::ptr_eq(&ticket.load, own) =>
        {
            return Ok(None);
        }
        ended => ended?,
    }
    let filled = ticket.filled().ok_or(QueryError::Abandoned)?;
    let overtaken = filled.stale && filled.revision < mark.visible;
    let tells = !overtaken && ask.is_known(&filled.map);
    Ok(tells.then(|| Part { map: Arc::clone(&filled.map), read: Some(filled.revision) }))
}
