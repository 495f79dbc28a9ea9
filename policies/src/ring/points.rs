//! The points of a ring, laid out for lookup.

use std::fmt::Write as _;

use super::{Node, NodeIndex, Spread};

/// Points sorted by hash, hashes and owners apart, so that a lookup reads hashes only; and an
/// index over the hashes' upper bits that says where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Points {
    hashes: Box<[u32]>,
    owners: Box<[NodeIndex]>,
    /// Cell `c` holds how many points hash below `c << shift`; one cell more than there are values,
    /// so that each cell has an end. Between one and two cells a point.
    index: Box<[u32]>,
    shift: u32,
}

impl Points {
    /// Places each node's points. `nodes` is sorted by name and of points that collide the first
    /// stays: a stable outcome without regard to who was listed when.
    pub(super) fn place(nodes: &[Node], spread: Spread) -> Self {
        let mut points = Vec::new();
        let mut text = String::new();
        for (node, place) in nodes.iter().zip(0..) {
            for replica in 0..node.replicas {
                text.clear();
                // Writing to a String can't fail.
                let _ = write!(text, "{replica}{}", node.name);
                points.push((spread.hash(text.as_bytes()), NodeIndex(place)));
            }
        }
        points.sort_unstable();
        points.dedup_by_key(|(hash, _)| *hash);
        let (hashes, owners): (Vec<u32>, Vec<NodeIndex>) = points.into_iter().unzip();
        let bits = (hashes.len() + 1).next_power_of_two().trailing_zeros().clamp(1, 24);
        let shift = u32::BITS - bits;
        Self {
            index: index(&hashes, bits, shift),
            hashes: hashes.into(),
            owners: owners.into(),
            shift,
        }
    }

    /// The position of the first point at or after `hash`, wrapping.
    pub(super) fn at_or_after(&self, hash: u32) -> usize {
        let cell = (hash >> self.shift) as usize;
        let (from, to) = (self.index[cell] as usize, self.index[cell + 1] as usize);
        let at = from + self.hashes[from..to].partition_point(|&point| point < hash);
        if at == self.hashes.len() { 0 } else { at }
    }

    #[cfg(test)]
    pub(super) fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    #[cfg(test)]
    pub(super) fn owners(&self) -> &[NodeIndex] {
        &self.owners
    }

    pub(super) fn owner(&self, at: usize) -> Option<NodeIndex> {
        self.owners.get(at).copied()
    }

    /// The owners from position `start` on, once around.
    pub(super) fn around(&self, start: usize) -> (&[NodeIndex], &[NodeIndex]) {
        let (before, from) = self.owners.split_at(start.min(self.owners.len()));
        (from, before)
    }

    pub(super) fn share(&self, node: NodeIndex) -> f64 {
        let Some(&last) = self.hashes.last() else { return 0.0 };
        if self.hashes.len() == 1 {
            return if self.owners[0] == node { 1.0 } else { 0.0 };
        }
        let mut previous = last;
        let mut owned = 0.0;
        for (&hash, &owner) in self.hashes.iter().zip(&*self.owners) {
            if owner == node {
                owned += f64::from(hash.wrapping_sub(previous));
            }
            previous = hash;
        }
        owned / 2_f64.powi(32)
    }
}

fn index(hashes: &[u32], bits: u32, shift: u32) -> Box<[u32]> {
    let mut index = Vec::with_capacity((1 << bits) + 1);
    let mut below = 0_u32;
    let mut rest = hashes.iter().peekable();
    for cell in 0..1_u32 << bits {
        while rest.next_if(|&&hash| hash >> shift < cell).is_some() {
            below += 1;
        }
        index.push(below);
    }
    // The rest hash into the last cell.
    index.push(rest.fold(below, |count, _| count + 1));
    index.into()
}
