//! The handle by which async code uses the store.

use std::{
    fmt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Change, Changes, Cursor, DataInfo, DataPage, DataSave, DataSearch, DataTable, Found, LogRead,
    Mark, Need, OpenError, Options, RowBatch, StoreError, Totals, WriteObserver, copy,
    data::sql as data,
    history::History,
    ingest, log, members, read,
    shared::Shared,
    tags::{self, Tag},
    threads::{self, Threads},
};
use crate::model::{Indicators, Revision, Subject};

/// The database of a node. Cheap to clone; all clones are the same store.
///
/// Every method may be called on any async worker: none blocks. Dropping the future of a read
/// gives the read up; dropping the future of a write leaves open whether it is done, never half
/// done. When the last clone is dropped the threads are joined; [`close`](Self::close) does the
/// same without holding up the caller's thread.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    pub(super) threads: Arc<Threads>,
    max_rows: usize,
    path: Arc<Path>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

/// What a write became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The revision it took.
    pub revision: Revision,
    /// Its result.
    pub value: T,
}

impl Store {
    /// Opens the file, brings its schema up to date and starts the threads.
    ///
    /// # Errors
    /// If the file cannot be opened, is damaged, or is the database of another program.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let (shared, max_rows) = (Arc::new(Shared::default()), options.max_rows);
        let path = Arc::from(&*options.path);
        let threads = threads::start(options, &shared).await?;
        Ok(Self { shared, threads: Arc::new(threads), max_rows, path })
    }

    /// Adds someone who is told of every write from now on.
    pub fn observe(&self, observer: Arc<dyn WriteObserver>) {
        self.shared.observe(observer);
    }

    /// The revision of the last commit that was confirmed; a read may already see a newer one.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.revision()
    }

    /// The last revision that every observer has heard of: what is read from now on, from the
    /// store or from a cache over it, is at least as new.
    #[must_use]
    pub fn confirmed(&self) -> Revision {
        *self.shared.confirmed.borrow()
    }

    /// Waits until [`confirmed`](Self::confirmed) is `revision` or more, for ever if it must.
    /// Cancel safe.
    pub async fn reached(&self, revision: Revision) {
        let mut confirmed = self.shared.confirmed.subscribe();
        // It cannot end before this handle: who sends is behind it.
        let _ = confirmed.wait_for(|confirmed| *confirmed >= revision).await;
    }

    /// Reads of the file since it was opened.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// Why the next write would not be taken, as far as is known: the disk is full or failed, and
    /// no probe has succeeded since, or the file is damaged. Reads go on.
    #[must_use]
    pub fn refuses_writes(&self) -> Option<StoreError> {
        let lost = || self.threads.lost_writer().then_some(StoreError::Panicked);
        self.shared.health.refused().or_else(lost)
    }

    /// Whether a read or a write met a page that makes no sense. What is on other pages is still
    /// answered; the file has to be replaced.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.shared.health.is_damaged()
    }

    /// Rows that one read may give.
    #[must_use]
    pub fn max_rows(&self) -> usize {
        self.max_rows
    }

    /// The indicators, as of the last commit.
    #[must_use]
    pub fn indicators(&self) -> Arc<Indicators> {
        self.shared.indicators.load_full()
    }

    /// How much there is, as of the last commit. Costs nothing.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.shared.totals.load_full()
    }

    /// Answers all needs, in their order, from one snapshot, with the revision of that snapshot.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn read(&self, needs: Vec<Need>) -> Result<(Revision, Vec<Found>), StoreError> {
        self.threads.read(move |reader, gone| read::needs(reader, &needs, gone)).await
    }

    /// The subjects of a topic, in byte order.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn topic_members(&self, topic: &str) -> Result<(Revision, Vec<Subject>), StoreError> {
        let topic = topic.to_owned();
        self.threads.read(move |reader, _| members::of_topic(reader, &topic)).await
    }

    /// The subjects of `topic` that are tagged under `id` with a keyword that contains `keyword`
    /// (in any case; empty is contained in all), in byte order; with `restrict` only those in it.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn tagged(
        &self,
        topic: &str,
        id: &str,
        keyword: &str,
        restrict: Option<Vec<Subject>>,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        let query = members::Tagged {
            topic: topic.to_owned(),
            id: id.to_owned(),
            keyword: keyword.to_lowercase(),
            restrict: restrict.map(|subjects| subjects.into_iter().collect()),
        };
        self.threads.read(move |reader, gone| members::tagged(reader, &query, gone)).await
    }

    /// What was written after `revision`.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn changes_since(
        &self,
        revision: Revision,
    ) -> Result<(Revision, Changes), StoreError> {
        self.threads.read(move |reader, _| members::changes_since(reader, revision)).await
    }

    /// Upserts rows, all or none, and answers how many there were when they are committed.
    ///
    /// # Errors
    /// [`StoreError::UnknownIndicator`] unless `create_indicators`; otherwise if the write failed.
    pub async fn ingest(
        &self,
        batch: RowBatch,
        create_indicators: bool,
    ) -> Result<Written<usize>, StoreError> {
        let weight = batch.len();
        self.threads
            .write(weight, move |writing| ingest::rows(writing, &batch, create_indicators))
            .await
    }

    /// Registers indicators; those that are known already are no mistake. Answers how many are new.
    ///
    /// # Errors
    /// [`StoreError::InvalidIndicator`] for a name that cannot be one: names are lower-case
    /// letters, digits and `_`, at most 64, no digit first, and none that the API uses otherwise.
    pub async fn register_indicators(
        &self,
        names: Vec<String>,
    ) -> Result<Written<usize>, StoreError> {
        self.threads.write(1, move |writing| ingest::register(writing, &names)).await
    }

    /// Adds tags for selection; those that are there already are no mistake.
    ///
    /// # Errors
    /// [`StoreError`] if the write failed.
    pub async fn add_tags(&self, tags: Vec<Tag>) -> Result<Written<()>, StoreError> {
        self.threads.write(tags.len(), move |writing| tags::add(writing, &tags)).await
    }

    /// Saves a series of data management.
    ///
    /// # Errors
    /// [`StoreError`] if the write failed.
    pub async fn data_save(&self, save: DataSave) -> Result<Written<()>, StoreError> {
        self.threads.write(save.points.len(), move |writing| data::save(writing, &save)).await
    }

    /// A whole series of data management, if it is there.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn data_get(
        &self,
        table: DataTable,
        id: &str,
    ) -> Result<Option<DataInfo>, StoreError> {
        let id = id.to_owned();
        self.threads.read(move |reader, _| data::get(reader, table, &id)).await
    }

    /// Series with points in a range of time.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn data_search(&self, search: DataSearch) -> Result<DataPage, StoreError> {
        self.threads.read(move |reader, gone| data::search(reader, &search, gone)).await
    }

    /// Removes a series; answers whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] if the write failed.
    pub async fn data_delete(
        &self,
        table: DataTable,
        id: &str,
    ) -> Result<Written<bool>, StoreError> {
        let id = id.to_owned();
        self.threads.write(1, move |writing| data::delete(writing, table, &id)).await
    }

    /// Where in which history the store is, as of the last commit.
    #[must_use]
    pub fn mark(&self) -> Arc<Mark> {
        self.shared.mark.load_full()
    }

    /// The nonce of the commit that ended with `revision`: the last one, or one that the log still
    /// has.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn nonce_of(&self, revision: Revision) -> Result<Option<i64>, StoreError> {
        self.threads.read(move |reader, _| log::nonce_of(reader, revision)).await
    }

    /// What the log has after `cursor`: about so many bytes, at least one part, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub async fn log_after(&self, cursor: &Cursor, bytes: usize) -> Result<LogRead, StoreError> {
        let cursor = cursor.clone();
        self.threads.read(move |reader, _| log::read(reader, &cursor, bytes)).await
    }

    /// Copies the store, as of one revision, to a file that is not there yet, by SQLite's backup.
    /// Answers with the mark of the copy. Writes go on meanwhile.
    ///
    /// Dropping the future leaves the copying to end by itself.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or the copy not be written.
    pub async fn copy_to(&self, to: &Path) -> Result<Mark, StoreError> {
        let (from, to) = (Arc::clone(&self.path), to.to_owned());
        let copying = tokio::task::spawn_blocking(move || copy::copy(&from, &to));
        copying.await.unwrap_or(Err(StoreError::Panicked))
    }

    /// Applies whole commits of the master's log, in one transaction with the mark of how far that
    /// is. Answers with the last of their revisions.
    ///
    /// # Errors
    /// [`StoreError::Diverged`] if they are not the very next ones, or do not fit what is there;
    /// otherwise if the write failed. Nothing is changed then.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Written<()>, StoreError> {
        let weight = changes.len();
        self.threads
            .write(weight, move |writing| {
                let history = History::load(writing.conn)?;
                log::apply(writing, &history, &changes)
            })
            .await
    }

    /// Finishes what is queued, joins the threads, and folds the write-ahead log into the file.
    /// Every clone answers [`StoreError::Closed`] from then on. Closing twice does nothing.
    pub async fn close(&self) {
        self.threads.close().await;
    }
}
