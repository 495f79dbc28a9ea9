//! The data API in parts: what a route with `locality = "per-subject"` tells the
//! [scatter](kamaitachi_layers::scatter) layer.
//!
//! A question that names several subjects is split by the nodes they belong to, one part for each, so that a
//! subject is asked of one node alone, and cached there alone. Split are snapshot and period with `subjects`, selections
//! with `selection.subject`, and searches with `subjectIds`. Whatever else is asked goes whole, by its key: topics and
//! selections without subjects, questions about one subject or about subjects of one node, and whatever cannot be
//! understood, so that it is a node that says what is wrong with it.
//!
//! A part is the request with other subjects and the header `X-Kamaitachi-Part`, at which a node answers from
//! the first row on and tells what its rows are sorted by. The gateway knows no rule of the API beyond where the subjects
//! stand: what page is asked for, and whether it may be, is the node's to say. Rows are taken over as they were written, so
//! the page is the one that a node would give to the whole, byte for byte, where all nodes hold the same revision.
//!
//! Each subject's rows are of one revision. Where nodes have not all seen the same writes yet, one subject may be newer
//! than another; `X-Kamaitachi-Revision` of the answer is the oldest, and `X-Kamaitachi-Min-Revision` of a
//! request is asked of every node.

mod head;
mod merge;
mod question;
mod split;

use std::sync::Arc;

use kamaitachi_layers::{scatter::ScatterLayer, select::Pool};

use crate::{
    config::{Locality, RouteConfig},
    gateway::Shared,
};

pub use merge::ByOwnerMerge;
pub use split::ByOwner;

/// The layer of `route` that splits by the members of `pool`, where the route's locality asks for one.
#[must_use]
pub fn layer<E>(
    shared: &Shared,
    route: &RouteConfig,
    pool: &Pool<E>,
) -> Option<ScatterLayer<ByOwner<E>>> {
    match route.locality {
        Locality::FirstSubject => None,
        Locality::PerSubject => {
            let (config, counts) = (shared.config.scatter, shared.metrics.scattered(&route.name));
            let split = ByOwner::new(pool.clone(), Arc::clone(&counts));
            let layer = ScatterLayer::new(split).at_once(config.at_once).limit(config.max_answers);
            Some(layer.observing(move |event| counts.count(event)))
        }
    }
}
