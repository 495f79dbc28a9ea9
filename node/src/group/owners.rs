//! Whose a key is, as clients are told.

use super::{
    peers::{Nodes, Strategy, View},
    proto,
};

/// Who answers for a key, and where its writes go, as `view` and `strategy` have it.
pub(crate) fn owner(view: &View, strategy: &dyn Strategy, key: &str) -> proto::OwnerReply {
    let names = |nodes: Nodes| -> Vec<String> {
        nodes.iter().map(|node| view.name(*node).to_string()).collect()
    };
    let successors = strategy.successors(view, key);
    proto::OwnerReply {
        is_self: successors.first().is_some_and(|owner| Some(*owner) == view.me()),
        owner: successors.first().map(|node| view.name(*node).to_string()).unwrap_or_default(),
        successors: names(successors),
        epoch: view.epoch(),
        targets: names(strategy.holders(view, key)),
    }
}
