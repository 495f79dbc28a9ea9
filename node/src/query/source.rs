//! What the engine needs of a store.

use std::sync::Arc;

use crate::{
    model::{Indicators, Revision, Subject},
    store::{Found, Need},
};

/// Why a store could not answer, for the log; a client is told only that it failed.
pub type SourceError = Arc<dyn std::error::Error + Send + Sync>;

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
    ) -> impl Future<Output = Result<(Revision, Vec<Found>), SourceError>> + Send;

    /// The members of a topic, in any order; none for an unknown topic.
    ///
    /// # Errors
    /// When the store can't be read.
    fn topic_members(
        &self,
        topic: &str,
    ) -> impl Future<Output = Result<(Revision, Vec<Subject>), SourceError>> + Send;

    /// The members of a topic that have tags under `id`, each with the keyword of one tag, in any
    /// order; a subject with several tags comes several times.
    ///
    /// # Errors
    /// When the store can't be read.
    fn tagged(
        &self,
        id: &str,
        topic: &str,
    ) -> impl Future<Output = Result<(Revision, Vec<(Subject, Arc<str>)>), SourceError>> + Send;

    /// The newest committed revision.
    fn revision(&self) -> Revision;

    /// The indicators known now.
    fn indicators(&self) -> Arc<Indicators>;
}
