//! Answers queries from what is known, and reads the rest.

mod hand_over;
mod learn;
mod load;
mod persist;
mod read;
mod recall;
mod scope;
mod subjects;
#[cfg(test)]
mod tests;

pub use hand_over::{Parcel, Refused, Taken};
pub use persist::Restored;
pub use subjects::Held;

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    Answer, Page, Part, PeriodQuery, QueryError, Scope, SnapshotQuery, SortField, Source, Stats,
    answer::CacheStatus,
    plan::{Ask, Span},
    render::{Form, Labels, Size},
};
use crate::{
    cache::{CacheLimits, Knowledge, stock_data_map::Known},
    model::{Epoch, IndicatorId, Revision},
    store::WriteObserver,
};

/// Answers queries over a [`Source`], remembering what it learns.
///
/// Cheap to clone; all clones share one cache. Any number of threads and runtimes may use it.
///
/// An answer is never older than what any client could have seen when its query began, and all of
/// it is of one revision: where a write comes between the parts of an answer, they are gathered
/// anew.
pub struct Engine<S> {
    inner: Arc<Inner<S>>,
}

pub(super) struct Inner<S> {
    source: S,
    knowledge: Arc<Knowledge>,
    labels: ArcSwap<Labels>,
}

/// All there is to know for an answer, gathered.
struct Gathered {
    maps: Vec<Known>,
    status: CacheStatus,
    revision: Revision,
}

impl<S: Source> Engine<S> {
    /// An engine that knows nothing yet.
    ///
    /// The [observer](Self::observer) must hear of every write from before the first query on.
    #[must_use]
    pub fn new(source: S, limits: CacheLimits) -> Self {
        let knowledge = Arc::new(Knowledge::new(limits, source.revision()));
        let labels = ArcSwap::from_pointee(Labels::new(&source.indicators()));
        Self { inner: Arc::new(Inner { source, knowledge, labels }) }
    }

    /// What must be told of writes for the cache to stay true. It holds no [`Source`].
    #[must_use]
    pub fn observer(&self) -> Arc<dyn WriteObserver> {
        Arc::clone(&self.inner.knowledge) as Arc<dyn WriteObserver>
    }

    /// The newest row of each subject.
    ///
    /// May be dropped at any time: a read that others share goes on.
    ///
    /// # Errors
    /// [`QueryError`] when something is missing and the store can't be read.
    pub async fn snapshot(&self, query: &SnapshotQuery) -> Result<Answer, QueryError> {
        self.answer(&query.scope, &query.ask(), Form::Snapshot(query)).await
    }

    /// All rows in a range of time, by subject.
    ///
    /// May be dropped at any time: a read that others share goes on.
    ///
    /// # Errors
    /// [`QueryError`] when something is missing and the store can't be read.
    pub async fn period(&self, query: &PeriodQuery) -> Result<Answer, QueryError> {
        self.answer(&query.scope, &query.ask(None), Form::Period(query)).await
    }

    /// All rows in a range of time, by the end of their period, each date sorted and paged on its
    /// own.
    ///
    /// May be dropped at any time: a read that others share goes on.
    ///
    /// # Errors
    /// [`QueryError`] when something is missing and the store can't be read.
    pub async fn period_by_date(
        &self,
        query: &PeriodQuery,
        page: &Page,
    ) -> Result<Answer, QueryError> {
        self.answer(&query.scope, &query.ask(page.indicator()), Form::ByDate(query, page)).await
    }

    /// The answer to a part of a larger question.
    ///
    /// May be dropped at any time: a read that others share goes on.
    ///
    /// # Errors
    /// [`QueryError`] when something is missing and the store can't be read.
    pub async fn part(&self, part: Part<'_>) -> Result<Answer, QueryError> {
        let form = Form::Part(part, self.inner.source.max_rows());
        match part {
            Part::Snapshot(query) => self.answer(&query.scope, &query.ask(), form).await,
            Part::Period(query) => self.answer(&query.scope, &query.ask(None), form).await,
            Part::ByDate(query, page) => {
                self.answer(&query.scope, &query.ask(page.indicator()), form).await
            }
        }
    }

    /// How the cache does.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (held, counts) = (self.inner.knowledge.stats(), self.inner.knowledge.counters.sum());
        let requests = counts.hits + counts.misses;
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let hit_rate =
            if requests == 0 { 0.0 } else { counts.hits as f64 * 100.0 / requests as f64 };
        Stats {
            entries: held.entries as u64,
            bytes: held.bytes as u64,
            max_bytes: self.inner.knowledge.limits().max_bytes as u64,
            hits: counts.hits,
            misses: counts.misses,
            hit_rate,
            partial_hits: counts.partial_hits,
            evictions: held.evictions,
            expired: held.expired,
            rejected_stale: counts.rejected_stale,
            subject_hits: counts.subject_hits,
            subject_misses: counts.subject_misses,
        }
    }

    /// Zeroes the counters; with `clear` also forgets everything.
    pub fn reset(&self, clear: bool) {
        if clear {
            self.inner.knowledge.clear();
        }
        self.inner.knowledge.reset_counters();
    }

    /// Holds the cache to so many bytes, at most as many as it was made for; what is over goes now,
    /// the least recently used first.
    pub fn bound(&self, bytes: usize) {
        self.inner.knowledge.bound(bytes);
    }

    /// Drops what has expired though nobody asked for it. Worth doing every few minutes.
    pub fn purge_expired(&self) {
        self.inner.knowledge.purge(Instant::now().into_std());
    }

    async fn answer(&self, scope: &Scope, ask: &Ask, form: Form<'_>) -> Result<Answer, QueryError> {
        let now = Instant::now().into_std();
        if let Some((maps, revision)) = self.inner.recall(scope, ask, now) {
            let cache = CacheStatus::Hit;
            if form.size(&maps, self.inner.source.max_rows())? == Size::Large {
                let body = Box::pin(self.inner.write_aside(maps.into_vec(), ask, form)).await?;
                return Ok(Answer { body, cache, revision });
            }
            let body = form.write(&maps, &self.inner.labels(ask)).into();
            return Ok(Answer { body, cache, revision });
        }
        // Boxed, so that a cached answer's future stays small.
        Box::pin(self.learn_and_answer(scope, ask, form, now)).await
    }

    async fn learn_and_answer(
        &self,
        scope: &Scope,
        ask: &Ask,
        form: Form<'_>,
        now: std::time::Instant,
    ) -> Result<Answer, QueryError> {
        let Gathered { maps, status, revision } =
            Arc::clone(&self.inner).learn(scope, ask, now).await?;
        let size = form.size(&maps, self.inner.source.max_rows())?;
        let body = if size == Size::Large {
            self.inner.write_aside(maps, ask, form).await?
        } else {
            form.write(&maps, &self.inner.labels(ask)).into()
        };
        Ok(Answer { body, cache: status, revision })
    }
}

impl<S: Source> Inner<S> {
    /// The labels of everything asked.
    fn labels(&self, ask: &Ask) -> Guard<Arc<Labels>> {
        let labels = self.labels.load();
        if ask.indicators.iter().all(|id| labels.knows(*id)) {
            return labels;
        }
        let labels = Arc::new(Labels::new(&self.source.indicators()));
        self.labels.store(Arc::clone(&labels));
        // Those just made: somebody may be putting older ones in their place.
        Guard::from_inner(labels)
    }

    /// Writes a large answer where it keeps nobody else waiting.
    async fn write_aside(
        &self,
        maps: Vec<Known>,
        ask: &Ask,
        form: Form<'_>,
    ) -> Result<Bytes, QueryError> {
        let (form, labels) = (form.to_owned(), Arc::clone(&self.labels(ask)));
        let writing = spawn_blocking(move || form.as_form().write(&maps, &labels));
        writing.await.map(Bytes::from).map_err(|_| QueryError::Abandoned)
    }
}

impl SnapshotQuery {
    fn ask(&self) -> Ask {
        let span = Span::Newest { at: self.at.unwrap_or(Epoch::MAX) };
        Ask::new(&self.indicators, self.page.indicator(), span)
    }
}

impl PeriodQuery {
    fn ask(&self, also: Option<IndicatorId>) -> Ask {
        Ask::new(&self.indicators, also, Span::Range { from: self.from, to: self.to })
    }
}

impl Page {
    /// The indicator that rows are sorted by, if they are sorted by one.
    fn indicator(&self) -> Option<IndicatorId> {
        match self.field {
            SortField::Indicator(id) => Some(id),
            SortField::ReportDate | SortField::EndDate | SortField::Year | SortField::Subject => {
                None
            }
        }
    }
}

impl<S> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("held", &self.inner.knowledge.stats())
            .finish_non_exhaustive()
    }
}
