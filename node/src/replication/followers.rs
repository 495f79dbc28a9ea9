//! Who follows this master now.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::Revision;

/// What a slave is being given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giving {
    Changes,
    Copy,
}

/// The slaves that are connected.
#[derive(Debug, Default)]
pub(super) struct Followers {
    now: Arc<Mutex<BTreeMap<u64, Seen>>>,
    next: AtomicU64,
    copies: AtomicU64,
}

#[derive(Clone, Debug)]
struct Seen {
    node: String,
    giving: Giving,
    since: Instant,
    sent: Revision,
}

/// One line of the list of followers.
#[derive(Clone, Debug, serde::Serialize)]
pub struct FollowerLine {
    /// The address it says it has.
    pub node: String,
    /// `following` or `copying`.
    pub state: &'static str,
    /// The last revision that was sent.
    pub sent_revision: Revision,
    /// How long it is connected.
    pub connected_seconds: u64,
}

impl Followers {
    /// Notes one for as long as the answer lives.
    pub(super) fn enter(&self, node: &str, giving: Giving) -> Place {
        let number = self.next.fetch_add(1, Relaxed);
        if giving == Giving::Copy {
            self.copies.fetch_add(1, Relaxed);
        }
        let seen = Seen { node: node.to_owned(), giving, since: Instant::now(), sent: 0 };
        self.now.lock().insert(number, seen);
        Place { number, followers: Arc::clone(&self.now) }
    }

    pub(super) fn list(&self) -> Vec<FollowerLine> {
        let line = |seen: &Seen| FollowerLine {
            node: seen.node.clone(),
            state: match seen.giving {
                Giving::Changes => "following",
                Giving::Copy => "copying",
            },
            sent_revision: seen.sent,
            connected_seconds: seen.since.elapsed().as_secs(),
        };
        self.now.lock().values().map(line).collect()
    }

    /// Copies that were begun.
    pub(super) fn copies(&self) -> u64 {
        self.copies.load(Relaxed)
    }
}

/// The place of a connected slave in the list.
pub(super) struct Place {
    number: u64,
    followers: Arc<Mutex<BTreeMap<u64, Seen>>>,
}

impl Place {
    pub(super) fn sent(&self, revision: Revision) {
        if let Some(seen) = self.followers.lock().get_mut(&self.number) {
            seen.sent = revision;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.followers.lock().remove(&self.number);
    }
}
