//! Reads of the store, each in a task of its own: whoever waits may leave, the read goes on.

use std::sync::Arc;

use tokio::{task::yield_now, time::Instant};

use super::Inner;
use crate::{
    cache::{FilledMembers, Load, MemberKey, MemberTicket, Members, OwnedKey, Ticket},
    model::{Revision, Subject},
    query::{QueryError, Source},
    store::StoreError,
};

/// Subjects to take in before others on the same thread get a turn.
const TURN: usize = 64;

/// A read of rows: the tickets it leads and their load, which end even if it panics or its runtime
/// is dropped.
pub(super) struct Rows<S: Source> {
    inner: Arc<Inner<S>>,
    load: Arc<Load>,
    tickets: Vec<Arc<Ticket>>,
}

impl<S: Source> Drop for Rows<S> {
    fn drop(&mut self) {
        for ticket in &self.tickets {
            self.inner.knowledge.flights.forget(ticket);
        }
        // Has no effect where the load has ended well.
        self.load.end(Err(QueryError::Abandoned));
    }
}

/// The same for a list of members.
struct List<S: Source> {
    inner: Arc<Inner<S>>,
    ticket: Arc<MemberTicket>,
}

impl<S: Source> Drop for List<S> {
    fn drop(&mut self) {
        self.inner.knowledge.members.forget(&self.ticket);
        self.ticket.load.end(Err(QueryError::Abandoned));
    }
}

impl<S: Source> Inner<S> {
    /// The members a key stands for: remembered, or read by whoever asks first.
    pub(super) async fn members(
        self: &Arc<Self>,
        key: MemberKey<'_>,
        now: std::time::Instant,
    ) -> Result<Result<Members, FilledMembers>, QueryError> {
        let (ticket, own) = match self.knowledge.members.enter(key, now) {
            Ok(members) => return Ok(Ok(members)),
            Err(ticket) => ticket,
        };
        if own {
            let list = List { inner: Arc::clone(self), ticket: Arc::clone(&ticket) };
            tokio::spawn(async move {
                let result = list.run().await;
                list.ticket.load.end(result.map_err(QueryError::from));
            });
        }
        ticket.load.ended().await?;
        ticket.filled().map(Err).ok_or(QueryError::Abandoned)
    }
}

impl<S: Source> Rows<S> {
    pub(super) fn new(inner: Arc<Inner<S>>, load: Load) -> Self {
        Self { inner, load: Arc::new(load), tickets: Vec::new() }
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// Adds a ticket, which ends with this read from now on.
    pub(super) fn lead(&mut self, ticket: Arc<Ticket>) {
        self.tickets.push(ticket);
    }

    /// Reads what the tickets need, in one transaction, if there are any.
    pub(super) fn start(self) {
        if self.tickets.is_empty() {
            return;
        }
        tokio::spawn(async move {
            let result = self.run().await;
            self.load.end(result.map_err(QueryError::from));
        });
    }

    async fn run(&self) -> Result<(), StoreError> {
        let knowledge = &self.inner.knowledge;
        let needs = self.tickets.iter().flat_map(|ticket| ticket.needs.iter().cloned()).collect();
        let (revision, found) = self.inner.source.read(needs).await?;
        knowledge.writes.seen(revision);
        let now = Instant::now().into_std();
        let mut rest = &found[..];
        for (at, ticket) in self.tickets.iter().enumerate() {
            let (own, others) = rest.split_at_checked(ticket.needs.len()).unwrap_or((rest, &[]));
            rest = others;
            knowledge.settle(ticket, own, revision, now);
            if at % TURN == TURN - 1 {
                yield_now().await;
            }
        }
        Ok(())
    }
}

impl<S: Source> List<S> {
    async fn run(&self) -> Result<(), StoreError> {
        let knowledge = &self.inner.knowledge;
        let (revision, mut members) = self.inner.list(&self.ticket.key).await?;
        knowledge.writes.seen(revision);
        members.sort_unstable();
        members.dedup();
        let now = Instant::now().into_std();
        if knowledge.members.settle(&self.ticket, revision, members.into(), now) {
            knowledge.counters.rejected_stale();
        }
        Ok(())
    }
}

impl<S: Source> Inner<S> {
    async fn list(&self, key: &OwnedKey) -> Result<(Revision, Vec<Subject>), StoreError> {
        match key.as_key() {
            MemberKey::Topic(topic) => self.source.topic_members(topic).await,
            MemberKey::Tagged { id, topic, keyword } => {
                self.source.tagged(topic, id, keyword).await
            }
        }
    }
}
