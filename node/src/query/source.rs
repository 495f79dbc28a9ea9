//! What the engine needs of a store.

use std::sync::Arc;

use crate::{
    model::{Indicators, Revision, Subject},
    store::{Found, MAX_ROWS, Mark, Need, Store, StoreError},
};

/// Where rows and memberships come from when the cache does not know them.
///
/// Each answer carries the revision it was read at: one transaction, one revision, and never an
/// older one than a read that had ended before this one began.
pub trait Source: Send + Sync + 'static {
    /// Answers all needs from one transaction, in their order.
    ///
    /// # Errors
    /// When the store can't be read.
    fn read(
        &self,
        needs: Vec<Need>,
    ) -> impl Future<Output = Result<(Revision, Vec<Found>), StoreError>> + Send;

    /// The members of a topic, in any order; none for an unknown topic.
    ///
    /// # Errors
    /// When the store can't be read.
    fn topic_members(
        &self,
        topic: &str,
    ) -> impl Future<Output = Result<(Revision, Vec<Subject>), StoreError>> + Send;

    /// The members of `topic` that are tagged under `id` with a keyword that contains `keyword`
    /// in any case, in any order, each once.
    ///
    /// # Errors
    /// When the store can't be read.
    fn tagged(
        &self,
        topic: &str,
        id: &str,
        keyword: &str,
    ) -> impl Future<Output = Result<(Revision, Vec<Subject>), StoreError>> + Send;

    /// The subjects written after `revision`, in any order, and the revision of the answer.
    ///
    /// # Errors
    /// When the store can't be read.
    fn changes_since(
        &self,
        revision: Revision,
    ) -> impl Future<Output = Result<(Revision, Vec<Subject>), StoreError>> + Send;

    /// Where the store is in its history.
    fn mark(&self) -> Arc<Mark>;

    /// The nonce of the commit that ended with `revision`, as far as the store still knows it.
    ///
    /// # Errors
    /// When the store can't be read.
    fn nonce_of(
        &self,
        revision: Revision,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send;

    /// Rows that one answer may hold.
    fn max_rows(&self) -> usize {
        MAX_ROWS
    }

    /// The newest committed revision.
    fn revision(&self) -> Revision;

    /// The indicators known now.
    fn indicators(&self) -> Arc<Indicators>;
}

impl Source for Store {
    async fn read(&self, needs: Vec<Need>) -> Result<(Revision, Vec<Found>), StoreError> {
        self.read(needs).await
    }

    async fn topic_members(&self, topic: &str) -> Result<(Revision, Vec<Subject>), StoreError> {
        self.topic_members(topic).await
    }

    async fn tagged(
        &self,
        topic: &str,
        id: &str,
        keyword: &str,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        self.tagged(topic, id, keyword, None).await
    }

    async fn changes_since(
        &self,
        revision: Revision,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        let (now, changes) = self.changes_since(revision).await?;
        Ok((now, changes.subjects))
    }

    fn mark(&self) -> Arc<Mark> {
        self.mark()
    }

    async fn nonce_of(&self, revision: Revision) -> Result<Option<i64>, StoreError> {
        self.nonce_of(revision).await
    }

    fn max_rows(&self) -> usize {
        self.max_rows()
    }

    fn revision(&self) -> Revision {
        self.revision()
    }

    fn indicators(&self) -> Arc<Indicators> {
        self.indicators()
    }
}
