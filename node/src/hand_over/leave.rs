//! Leaving: what others own from now on, sent to them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue};
use kamaitachi_policies::ring::Ring;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{HandOver, PUSH, TOKEN, client, history, owns};
use crate::{
    query::Engine,
    store::{Mark, Store},
};

/// A node leaves the ring.
#[derive(Clone, Copy)]
struct Change<'a> {
    others: &'a BTreeSet<String>,
    /// Where the store was before anything was packed.
    mark: &'a Mark,
    engine: &'a Engine<Store>,
    store: &'a Store,
}

impl HandOver {
    /// Sends all others what the ring without this node gives to them, for as long as a change may
    /// take.
    ///
    /// Whatever fails is logged: the others then read from their own stores. Cancel safe.
    pub(crate) async fn pass_on(&self, engine: &Engine<Store>, store: &Store) {
        let others = self.others();
        let Some(mark) = history::of(store).filter(|_| !others.is_empty()) else { return };
        let change = Change { others: &others, mark: &mark, engine, store };
        let began = Instant::now();
        let deadline = began + self.settings.time;
        let sending = others.iter().map(|peer| self.pass_on_to(peer, &change, deadline));
        let sent: usize = join_all(sending).await.into_iter().sum();
        tracing::info!(entries = sent, took = ?began.elapsed(), "handed over to other nodes");
    }

    async fn pass_on_to(&self, peer: &str, change: &Change<'_>, deadline: Instant) -> usize {
        let sending = self.send(peer, change, deadline);
        let sent = tokio::time::timeout_at(deadline, sending).await;
        match sent.unwrap_or_else(|_| Err("no time is left".into())) {
            Ok(entries) => {
                self.counters.gave(entries);
                entries
            }
            Err(reason) => {
                self.counters.failed();
                tracing::info!(peer, reason, "nothing handed over to a node");
                0
            }
        }
    }

    async fn send(
        &self,
        peer: &str,
        change: &Change<'_>,
        deadline: Instant,
    ) -> Result<usize, String> {
        let Change { others, mark, engine, store } = *change;
        let others = || others.iter().map(String::as_str);
        let with: Ring = self.ring(others().chain([self.own.as_str()]));
        let without: Ring = self.ring(others());
        let (own, heir) = (self.own.clone(), peer.to_owned());
        let moved =
            move |subject: &str| owns(&with, &own, subject) && owns(&without, &heir, subject);
        let parcel = engine.give(moved, self.settings.max_bytes).await;
        let parcel = parcel.map_err(|why| why.to_string())?;
        if parcel.entries == 0 {
            return Ok(0);
        }
        // As new as anything in the parcel, and still the history in which that was read.
        let mark = history::of(store)
            .filter(|now| now.lineage == mark.lineage)
            .ok_or("the store tells another history than before")?;
        let headers = self.headers(Some(&mark));
        client::post(peer, PUSH, headers, parcel.bytes, 1 << 10, deadline)
            .await
            .map_err(|why| why.to_string())?;
        Ok(parcel.entries)
    }

    /// What a peer is told by: the secret, and the history of the own store.
    pub(super) fn headers(&self, mark: Option<&Mark>) -> Vec<(HeaderName, HeaderValue)> {
        let token = self.settings.token.as_ref().map(ExposeSecret::expose_secret);
        let token = token.and_then(|token| HeaderValue::from_str(token).ok());
        let token = token.map(|mut token| {
            token.set_sensitive(true);
            (TOKEN, token)
        });
        token.into_iter().chain(mark.map(history::header)).collect()
    }
}
