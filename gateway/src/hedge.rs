//! Asking another node when an answer is late.

use std::sync::Arc;

use kamaitachi_layers::hedge::{Event, HedgeLayer, Ticker};

use crate::{
    config::{RouteConfig, Target},
    gateway::Shared,
};

/// The layer for `route` on one worker, whose time `ticker` keeps: for reads that several nodes can answer.
#[must_use]
pub fn hedge(shared: &Shared, route: &RouteConfig, ticker: &Ticker) -> Option<HedgeLayer> {
    let retry = shared.config.retry;
    let lateness = retry.hedge.filter(|_| route.retry && route.target == Target::Ring)?;
    let (cluster, counts) = (Arc::clone(&shared.cluster), shared.metrics.hedges(&route.name));
    let layer = HedgeLayer::new(ticker.clone(), shared.budget.clone(), lateness)
        .at_most(retry.max_tries)
        .observing(move |event| {
            counts.count(event);
            // A node that hangs fails nothing; that others answer for it is all there is to see.
            if let Event::Lost { late } = event
                && let Some(node) = cluster.find(late)
            {
                node.lost();
            }
        });
    Some(layer)
}
