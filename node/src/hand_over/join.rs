//! Joining: what this node owns from now on, fetched from those who owned it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::{HandOver, PULL, client, history};
use crate::{
    query::{Engine, Taken},
    store::{Mark, Store},
};

/// How long a node that was behind a peer may take to catch up before it gives a parcel up.
const CATCH_UP: Duration = Duration::from_secs(10);

/// What a joining node asks for: subjects that the ring of `nodes` gives to `node`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Wanted {
    pub(crate) node: String,
    pub(crate) nodes: Vec<String>,
    /// Bytes of JSON, at most.
    pub(crate) bytes: usize,
}

/// More nodes than this make no ring that anyone has.
const MOST_NODES: usize = 1_000;

impl Wanted {
    /// Whether it is something to be answered.
    pub(crate) fn is_plausible(&self) -> bool {
        let fit = |node: &String| (1..=256).contains(&node.len());
        self.nodes.len() <= MOST_NODES
            && self.nodes.iter().all(fit)
            && self.nodes.contains(&self.node)
    }
}

/// A parcel from a store that is further than this node's.
#[derive(Debug)]
pub(crate) struct Late {
    peer: String,
    theirs: Mark,
    parcel: Bytes,
    cut: bool,
}

impl HandOver {
    /// Fetches what this node owns from all others at once, for as long as a change may take.
    /// Gives back what it is not new enough for: that is to be [taken](Self::take_late) when it
    /// follows the master.
    ///
    /// Whatever fails is logged: the node then reads from its own store. Cancel safe: what has
    /// been taken in stays.
    pub(crate) async fn fetch(&self, engine: &Engine<Store>, store: &Store) -> Vec<Late> {
        let began = Instant::now();
        let deadline = began + self.settings.time;
        self.listed(deadline).await;
        let others = self.others();
        if others.is_empty() {
            return Vec::new();
        }
        let nodes = others.iter().chain([&self.own]).cloned().collect();
        let wanted = Wanted { node: self.own.clone(), nodes, bytes: self.settings.max_bytes };
        let asking = others.iter().map(async |peer| {
            let asked = self.ask(peer, &wanted, deadline).await;
            let late = self.noted(peer, asked)?;
            if store.confirmed() < late.theirs.revision {
                return Some(late);
            }
            self.take_noting(late, engine, store, deadline).await;
            None
        });
        let late: Vec<_> = join_all(asking).await.into_iter().flatten().collect();
        let (entries, took) = (self.counters.taken(), began.elapsed());
        tracing::info!(entries, late = late.len(), ?took, "taken over from other nodes");
        late
    }

    /// Takes what [`fetch`](Self::fetch) gave back, once the store is as far. Cancel safe.
    pub(crate) async fn take_late(&self, late: Vec<Late>, engine: &Engine<Store>, store: &Store) {
        let deadline = Instant::now() + CATCH_UP;
        for late in late {
            self.take_noting(late, engine, store, deadline).await;
        }
    }

    async fn take_noting(
        &self,
        late: Late,
        engine: &Engine<Store>,
        store: &Store,
        deadline: Instant,
    ) {
        let Late { peer, theirs, parcel, cut } = late;
        let taken = self.take(engine, store, &theirs, parcel, cut, deadline).await;
        if let Some(taken) = self.noted(&peer, taken) {
            tracing::debug!(peer, ?taken, "a node handed over");
        }
    }

    /// The good outcome; a bad one is counted and logged.
    fn noted<T>(&self, peer: &str, outcome: Result<T, String>) -> Option<T> {
        outcome
            .inspect_err(|reason| {
                self.counters.failed();
                tracing::info!(peer, reason, "nothing taken over from a node");
            })
            .ok()
    }

    async fn ask(&self, peer: &str, wanted: &Wanted, deadline: Instant) -> Result<Late, String> {
        let body = serde_json::to_vec(wanted).map_err(|error| error.to_string())?;
        // What is packed is smaller than what it holds, but for a few bytes a section.
        let limit = wanted.bytes.saturating_mul(2).saturating_add(1 << 20);
        let headers = self.headers(None);
        let answer = client::post(peer, PULL, headers, body.into(), limit, deadline)
            .await
            .map_err(|why| why.to_string())?;
        let theirs = history::read(&answer.headers).ok_or("its store tells no history")?;
        Ok(Late { peer: peer.to_owned(), theirs, parcel: answer.body, cut: answer.cut })
    }

    /// Takes in a parcel of a node whose store is at `theirs`, once the own one is, too.
    pub(crate) async fn take(
        &self,
        engine: &Engine<Store>,
        store: &Store,
        theirs: &Mark,
        parcel: Bytes,
        cut: bool,
        deadline: Instant,
    ) -> Result<Taken, String> {
        // A slave that lags comes as far by itself, if it comes in time.
        let reached = timeout_at(deadline, store.reached(theirs.revision)).await;
        reached.map_err(|_| "this node did not come as far as its store in time")?;
        let ours = history::of(store).ok_or("the own store tells no history")?;
        if !history::shared(&ours, theirs) {
            return Err("its store tells another history".into());
        }
        let taken = engine.take(parcel, cut, self.settings.max_bytes).await;
        taken.inspect(|taken| self.counters.took(*taken)).map_err(|why| why.to_string())
    }
}
