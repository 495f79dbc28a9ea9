//! A write: its work, its notes, and who waits for it.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{StoreError, Totals, Touched, Written, log::Applied};
use crate::model::{Indicators, Revision};

/// What a write works with: the open transaction and the notes it leaves.
pub(super) struct Writing<'c> {
    pub(super) conn: &'c Connection,
    /// The revision this write takes.
    pub(super) revision: Revision,
    /// What it changes.
    pub(super) touched: Touched,
    /// The indicators as this write leaves them.
    pub(super) indicators: Arc<Indicators>,
    /// How much there is as this write leaves it.
    pub(super) totals: Totals,
    /// What it logs itself, apart from rows.
    pub(super) ops: Vec<u8>,
    /// What it took over from a master's log.
    pub(super) applied: Option<Applied>,
}

/// A write whose types do not matter to the thread.
pub(super) trait WriteJob: Send {
    /// Does the work, once, within a transaction.
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError>;
    /// Answers whoever waits.
    fn answer(self: Box<Self>, outcome: Result<Revision, StoreError>);
    /// How many rows it is about.
    fn weight(&self) -> usize;
}

/// A write, its result once it has run, and who waits for it.
pub(super) struct Job<F, T> {
    weight: usize,
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<Written<T>, StoreError>>,
}

impl<F, T> Job<F, T> {
    pub(super) fn new(
        weight: usize,
        work: F,
        reply: oneshot::Sender<Result<Written<T>, StoreError>>,
    ) -> Self {
        Self { weight, work: Some(work), value: None, reply }
    }
}

impl<F, T> WriteJob for Job<F, T>
where
    F: FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        let work = self.work.take().ok_or(StoreError::Panicked)?;
        self.value = Some(work(writing)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<Revision, StoreError>) {
        let Self { value, reply, .. } = *self;
        let value = value.ok_or(StoreError::Panicked);
        // Nobody waits any more: the write stands all the same.
        let _ = reply.send(outcome.and_then(|revision| Ok(Written { revision, value: value? })));
    }

    fn weight(&self) -> usize {
        self.weight
    }
}
