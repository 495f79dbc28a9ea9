//! Who is there, as one peer sees it: an immutable value, replaced whole.

use std::{num::NonZeroU16, sync::Arc};

use kamaitachi_policies::ring::{NodeIndex, Ring, Spread};

use super::{acks::Acks, link::Link, op::Op};

/// The members of a group at one time, and the ring they make.
#[derive(Debug)]
pub struct View {
    ring: Ring,
    names: Box<[Arc<str>]>,
    nodes: Box<[NodeIndex]>,
    /// By [`NodeIndex`]; `None` for this peer itself, which is never dialled.
    links: Box<[Option<Arc<Link>>]>,
    me: Option<NodeIndex>,
    epoch: u64,
}

impl View {
    /// `link` gives the connection to a peer that is not this one.
    pub(super) fn new(
        members: &[Arc<str>],
        me: &str,
        replicas: NonZeroU16,
        mut link: impl FnMut(&Arc<str>) -> Arc<Link>,
    ) -> Self {
        let ring = Ring::new(members.iter().map(|name| &**name), replicas, Spread::Plain);
        let names: Box<[Arc<str>]> = ring.nodes().map(Arc::from).collect();
        let links = names.iter().map(|name| (**name != *me).then(|| link(name))).collect();
        let nodes = names.iter().filter_map(|name| ring.index_of(name)).collect();
        Self { me: ring.index_of(me), epoch: epoch(&names), links, nodes, names, ring }
    }

    /// Addresses of the members, sorted, this peer included where it is one.
    #[must_use]
    pub fn members(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Places of all members.
    #[must_use]
    pub fn nodes(&self) -> &[NodeIndex] {
        &self.nodes
    }

    /// The ring of the members.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// This peer's place, when it is a member.
    #[must_use]
    pub fn me(&self) -> Option<NodeIndex> {
        self.me
    }

    /// A number for this set of members: equal views have equal epochs, wherever they come from.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where a member stands.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<NodeIndex> {
        self.ring.index_of(name)
    }

    pub(in super::super) fn name(&self, node: NodeIndex) -> &Arc<str> {
        &self.names[node.get()]
    }

    pub(in super::super) fn link(&self, node: NodeIndex) -> Option<&Arc<Link>> {
        self.links.get(node.get()).and_then(Option::as_ref)
    }

    /// The first of a key's successors that is not known to be down.
    pub(in super::super) fn answering(&self, successors: &[NodeIndex]) -> Option<NodeIndex> {
        let up = |node: &&NodeIndex| self.link(**node).is_none_or(|link| !link.is_ejected());
        successors.iter().find(up).copied()
    }

    /// Takes a write to those of `to` that are other peers; gives how many writes had to make room.
    pub(in super::super) fn push(
        &self,
        to: &[NodeIndex],
        op: &Arc<Op>,
        acks: Option<&Arc<Acks>>,
    ) -> u64 {
        let links = to.iter().filter_map(|node| self.link(*node));
        links.map(|link| link.push(op, acks) as u64).sum()
    }

    /// The other members.
    pub(in super::super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.iter().flatten()
    }
}

/// FNV-1a of the sorted names with an end after each.
fn epoch(names: &[Arc<str>]) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
