//! What the prompt knows of the group without asking: who is there, and some of the keys. A task in the background
//! keeps it fresh.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{
    command::Listing,
    run::{Report, groups, peers, run},
    session::Session,
};
use crate::{cli::command::Command, group::proto::PeerState};

/// How often the node is asked who is there.
const PEERS_EVERY: Duration = Duration::from_secs(1);
/// How many of those turns pass between looks at the keys.
const KEYS_EVERY: u32 = 5;
/// The most keys that are looked at, in pages.
const MOST_KEYS: usize = 10_000;
const PAGE: u32 = 1_000;

/// What is known just now.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The node's address.
    pub addr: String,
    /// The group's name.
    pub group: String,
    /// Peers that are there, the node included. `None` while the node is gone.
    pub peers: Option<usize>,
    /// Addresses of all peers.
    pub addrs: Vec<String>,
    /// Names of the node's groups.
    pub groups: Vec<String>,
    /// Keys, in order; the first ten thousand.
    pub keys: Arc<Vec<String>>,
}

/// Keeps a [`Known`] fresh. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    known: Arc<Mutex<Known>>,
    session: watch::Sender<Session>,
}

impl Live {
    /// Begins to watch over the node of `session`; `teller` tells whoever types that the node went, or came back.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub(super) fn start(session: &Session, teller: SyncSender<String>) -> (Self, JoinHandle<()>) {
        let live = Self { known: Arc::default(), session: watch::channel(session.clone()).0 };
        let task = tokio::spawn(live.clone().keep_fresh(teller));
        (live, task)
    }

    /// What is known just now.
    #[must_use]
    pub(super) fn known(&self) -> Known {
        self.known.lock().clone()
    }

    /// Waits until the node has been asked once, a second at the most. Cancel safe.
    pub(super) async fn settled(&self) {
        let asked = async {
            while self.known.lock().addr.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(PEERS_EVERY, asked).await;
    }

    /// Goes on with another node or group; it is [`settled`](Self::settled) when that one was asked.
    pub(super) fn follow(&self, session: &Session) {
        self.known.lock().addr.clear();
        self.session.send_replace(session.clone());
    }

    /// Notes a key that was set here, so that it can be completed at once.
    pub(super) fn remember(&self, key: &str) {
        let mut known = self.known.lock();
        if let Err(at) = known.keys.binary_search_by(|other| other.as_str().cmp(key)) {
            Arc::make_mut(&mut known.keys).insert(at, key.to_owned());
        }
    }

    async fn keep_fresh(self, teller: SyncSender<String>) {
        let mut session = self.session.subscribe();
        let mut turns = interval(PEERS_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = 0;
        loop {
            tokio::select! {
                _ = turns.tick() => turn += 1,
                changed = session.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    turn = 0;
                }
            }
            let current = session.borrow_and_update().clone();
            self.look(&current, &teller).await;
            if turn % KEYS_EVERY <= 1 {
                self.list(&current).await;
            }
        }
    }

    /// Asks the node who is there.
    async fn look(&self, session: &Session, teller: &SyncSender<String>) {
        let answer = peers(session).await;
        let (was, is) = {
            let mut known = self.known.lock();
            let was = (known.addr == session.addr()).then_some(known.peers);
            session.addr().clone_into(&mut known.addr);
            known.group = session.group();
            known.peers = answer.as_ref().ok().map(|reply| {
                let there =
                    |state| matches!(state, PeerState::Self_ | PeerState::Alive | PeerState::New);
                reply.peers.iter().filter(|peer| there(peer.state())).count().max(1)
            });
            if let Ok(reply) = &answer {
                known.addrs = reply.peers.iter().map(|peer| peer.addr.clone()).collect();
            }
            (was, known.peers)
        };
        // Printing also draws the prompt anew, in its new colour.
        let said = match (was, is) {
            (Some(Some(_)), None) => Some(format!("{} is gone", session.addr())),
            (Some(None), Some(_)) => Some(format!("{} is back", session.addr())),
            (Some(Some(before)), Some(now)) if before != now => {
                Some(format!("{now} peers (were {before})"))
            }
            _ => None,
        };
        if let Some(said) = said {
            // With its queue full the next prompt shows it.
            let _ = teller.try_send(said);
        }
    }

    /// Lists keys, a bounded number of pages.
    async fn list(&self, session: &Session) {
        let mut names = BTreeSet::new();
        let mut cursor = String::new();
        while names.len() < MOST_KEYS {
            let listing = Listing { prefix: String::new(), limit: PAGE, cursor, local: false };
            let Ok(Report::Keys { page, .. }) =
                run(&mut session.clone(), Command::Keys(listing)).await
            else {
                return;
            };
            names.extend(page.keys.into_iter().map(|info| info.key));
            cursor = page.cursor;
            if cursor.is_empty() {
                break;
            }
        }
        let groups = groups(session).await.unwrap_or_default();
        let mut known = self.known.lock();
        known.keys = Arc::new(names.into_iter().collect());
        known.groups = groups;
    }
}
