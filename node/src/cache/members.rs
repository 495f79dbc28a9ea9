//! Who belongs to a topic, and who of them is tagged: small lists, remembered until memberships
//! change.
//!
//! The rules are those of [`flights`](super::flights); but as every write of memberships touches
//! all lists, one lock will do.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::Equivalent;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{
    load::Load,
    lru::{Lru, LruStats, expiry},
    stock_data_map::block,
};
use crate::model::{Revision, Subject};

/// Subjects in ascending order.
pub(crate) type Members = Arc<[Subject]>;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MemberKey<'a> {
    /// All members of a topic.
    Topic(&'a str),
    /// Those with a tag under `id` whose keyword contains `keyword`, which is in lower case.
    Tagged { id: &'a str, topic: &'a str, keyword: &'a str },
}

/// A key that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedKey {
    Topic(Box<str>),
    Tagged { id: Box<str>, topic: Box<str>, keyword: Box<str> },
}

impl OwnedKey {
    pub(crate) fn as_key(&self) -> MemberKey<'_> {
        match self {
            Self::Topic(topic) => MemberKey::Topic(topic),
            Self::Tagged { id, topic, keyword } => MemberKey::Tagged { id, topic, keyword },
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Topic(topic) => block(topic.len()),
            Self::Tagged { id, topic, keyword } => {
                block(id.len()) + block(topic.len()) + block(keyword.len())
            }
        }
    }
}

impl From<MemberKey<'_>> for OwnedKey {
    fn from(key: MemberKey<'_>) -> Self {
        match key {
            MemberKey::Topic(topic) => Self::Topic(topic.into()),
            MemberKey::Tagged { id, topic, keyword } => {
                Self::Tagged { id: id.into(), topic: topic.into(), keyword: keyword.into() }
            }
        }
    }
}

impl std::hash::Hash for OwnedKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_key().hash(state);
    }
}

impl Equivalent<OwnedKey> for MemberKey<'_> {
    fn equivalent(&self, key: &OwnedKey) -> bool {
        *self == key.as_key()
    }
}

/// The lists, and the reads of lists under way.
#[derive(Debug)]
pub(crate) struct MemberCache {
    lists: Lru<OwnedKey, Members>,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pending: SmallVec<[Revision; 2]>,
    tickets: HashMap<OwnedKey, Arc<MemberTicket>>,
    /// Tickets that a write has overtaken: nobody joins them any more.
    overtaken: Vec<Arc<MemberTicket>>,
}

/// A read of a list under way.
#[derive(Debug)]
pub(crate) struct MemberTicket {
    pub(crate) key: OwnedKey,
    pub(crate) load: Load,
    state: Mutex<TicketState>,
}

#[derive(Debug, Default)]
struct TicketState {
    floor: Revision,
    filled: Option<FilledMembers>,
}

/// What a read of a list came to.
#[derive(Clone, Debug)]
pub(crate) struct FilledMembers {
    pub(crate) members: Members,
    pub(crate) revision: Revision,
    /// Whether a write has overtaken it.
    pub(crate) stale: bool,
}

impl MemberTicket {
    /// What the read came to, once its load has ended well.
    pub(crate) fn filled(&self) -> Option<FilledMembers> {
        self.state.lock().filled.clone()
    }
}

impl MemberCache {
    pub(crate) fn new(max_bytes: usize, ttl: Duration) -> Self {
        Self { lists: Lru::new(max_bytes), ttl, state: Mutex::default() }
    }

    pub(crate) fn get(&self, key: MemberKey<'_>, now: Instant) -> Option<Members> {
        self.lists.get(&key, now)
    }

    /// The list if it is there by now, or else a read to wait for; `true` if it is the caller's to
    /// do, and then to [settle](Self::settle) or [forget](Self::forget).
    pub(crate) fn enter(
        &self,
        key: MemberKey<'_>,
        now: Instant,
    ) -> Result<Members, (Arc<MemberTicket>, bool)> {
        let mut state = self.state.lock();
        if let Some(members) = self.lists.get(&key, now) {
            return Ok(members);
        }
        let key = OwnedKey::from(key);
        if let Some(ticket) = state.tickets.get(&key) {
            return Err((Arc::clone(ticket), false));
        }
        let floor = state.pending.iter().copied().max().unwrap_or(0);
        let ticket = Arc::new(MemberTicket {
            key: key.clone(),
            load: Load::new(1),
            state: Mutex::new(TicketState { floor, filled: None }),
        });
        state.tickets.insert(key, Arc::clone(&ticket));
        Err((ticket, true))
    }

    /// Ends a ticket whose read succeeded; says whether the list was too old to be remembered.
    pub(crate) fn settle(
        &self,
        ticket: &Arc<MemberTicket>,
        revision: Revision,
        members: Members,
        now: Instant,
    ) -> bool {
        let mut state = self.state.lock();
        let mut own = ticket.state.lock();
        let stale = revision < own.floor;
        if !stale {
            let names: usize = members.iter().map(|name| block(name.len() + 16)).sum();
            let weight = names + block(size_of_val(&*members) + 16) + ticket.key.bytes();
            let expires = expiry(now, self.ttl);
            self.lists.insert(ticket.key.clone(), Arc::clone(&members), weight, expires);
        }
        own.filled = Some(FilledMembers { members, revision, stale });
        state.remove(ticket);
        stale
    }

    /// Ends a ticket whose read failed, unless it has ended already.
    pub(crate) fn forget(&self, ticket: &Arc<MemberTicket>) {
        self.state.lock().remove(ticket);
    }

    /// A write of `revision` is about to change memberships.
    pub(crate) fn touch(&self, revision: Revision) {
        let mut state = self.state.lock();
        state.pending.push(revision);
        let joinable: Vec<_> = state.tickets.drain().map(|(_, ticket)| ticket).collect();
        state.overtaken.extend(joinable);
        for ticket in &state.overtaken {
            let mut own = ticket.state.lock();
            own.floor = own.floor.max(revision);
        }
        self.lists.clear();
    }

    /// The write of `revision` has ended, one way or the other.
    pub(crate) fn resolve(&self, revision: Revision) {
        self.state.lock().pending.retain(|other| *other != revision);
    }

    pub(crate) fn clear(&self) {
        self.lists.clear();
    }

    pub(crate) fn purge(&self, now: Instant) {
        self.lists.purge(now);
    }

    /// Holds the lists to so many bytes.
    pub(crate) fn bound(&self, bytes: usize) {
        self.lists.bound(bytes);
    }

    pub(crate) fn stats(&self) -> LruStats {
        self.lists.stats()
    }

    pub(crate) fn reset_counters(&self) {
        self.lists.reset_counters();
    }

    /// How many tickets and pending writes there are.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.tickets.len() + state.overtaken.len(), state.pending.len())
    }
}

impl State {
    fn remove(&mut self, ticket: &Arc<MemberTicket>) {
        if self.tickets.get(&ticket.key).is_some_and(|other| Arc::ptr_eq(other, ticket)) {
            self.tickets.remove(&ticket.key);
        }
        self.overtaken.retain(|other| !Arc::ptr_eq(other, ticket));
    }
}
