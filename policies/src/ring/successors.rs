//! The walk along the circle.

use std::iter::{Chain, FusedIterator};
use std::slice::Iter;

use super::NodeIndex;
use super::points::Points;

/// Nodes remembered without allocating: 256.
const INLINE_WORDS: usize = 4;

/// The distinct nodes from a key on, the owner first. Made by [`Ring::successors`](super::Ring::successors).
#[derive(Clone, Debug)]
pub struct Successors<'a> {
    rest: Chain<Iter<'a, NodeIndex>, Iter<'a, NodeIndex>>,
    seen: Seen,
    /// How many nodes can still come; what makes the walk stop early.
    unseen: usize,
}

impl<'a> Successors<'a> {
    pub(super) fn new(points: &'a Points, start: usize, nodes: usize) -> Self {
        let (from, before) = points.around(start);
        Self { rest: from.iter().chain(before), seen: Seen::new(nodes), unseen: nodes }
    }
}

impl Iterator for Successors<'_> {
    type Item = NodeIndex;

    fn next(&mut self) -> Option<NodeIndex> {
        if self.unseen == 0 {
            return None;
        }
        let seen = &mut self.seen;
        let next = self.rest.by_ref().copied().find(|&node| seen.insert(node));
        self.unseen = if next.is_some() { self.unseen - 1 } else { 0 };
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.unseen))
    }
}

impl FusedIterator for Successors<'_> {}

/// A set of nodes, one bit each.
#[derive(Clone, Debug)]
enum Seen {
    Inline([u64; INLINE_WORDS]),
    Heap(Box<[u64]>),
}

impl Seen {
    fn new(nodes: usize) -> Self {
        let words = nodes.div_ceil(64);
        if words <= INLINE_WORDS {
            Self::Inline([0; INLINE_WORDS])
        } else {
            Self::Heap(vec![0; words].into())
        }
    }

    /// Adds a node; false if it was there.
    fn insert(&mut self, node: NodeIndex) -> bool {
        let words = match self {
            Self::Inline(words) => words.as_mut_slice(),
            Self::Heap(words) => words,
        };
        let bit = 1 << (node.get() % 64);
        let word = &mut words[node.get() / 64];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
