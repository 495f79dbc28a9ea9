//! How many nodes may be out for being late.
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use kamaitachi_policies::outlier::Places;

/// How many nodes of a cluster may be out for being late, and how many are.
#[derive(Debug)]
pub struct LatePlaces {
    places: Places,
    nodes: AtomicUsize,
    taken: AtomicUsize,
}

impl LatePlaces {
    /// Those of a cluster of so many nodes.
    #[must_use]
    pub fn new(places: Places, nodes: usize) -> Arc<Self> {
        let (nodes, taken) = (AtomicUsize::new(nodes), AtomicUsize::new(0));
        Arc::new(Self { places, nodes, taken })
    }

    /// The cluster has so many nodes now.
    pub fn resize(&self, nodes: usize) {
        self.nodes.store(nodes, Relaxed);
    }

    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let most = self.places.of(self.nodes.load(Relaxed));
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

/// One of [`LatePlaces`], until dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<LatePlaces>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}
