//! The changing set of members.
use std::{fmt, num::NonZeroU16, sync::Arc};

use arc_swap::ArcSwap;
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, LoadBound, Ring, Spread};

use super::Member;
use crate::retry::Tried;

/// A shared handle on the members of a pool. Clones are the same pool.
pub struct Pool<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    replicas: NonZeroU16,
    spread: Spread,
    members: ArcSwap<Members<E>>,
}

/// The members at one time, in the order of their names, with their ring.
#[derive(Debug)]
pub struct Members<E> {
    ring: Ring,
    // As `ring.nodes()`: a node's index in the ring is its index here.
    members: Box<[Member<E>]>,
    // Whether any of them was new when they were put together.
    has_new: bool,
}

impl<E> Pool<E> {
    /// An empty pool whose members get `replicas` points each on the ring.
    #[must_use]
    pub fn new(replicas: NonZeroU16, spread: Spread) -> Self {
        let members = ArcSwap::from_pointee(Members::new(Vec::new(), replicas, spread));
        Self { shared: Arc::new(Shared { replicas, spread, members }) }
    }

    /// Replaces all members. Of several with one name the first counts.
    ///
    /// Only keys of members that came or went move. Takes as long as sorting all points: not for the way of a request.
    pub fn set(&self, members: impl IntoIterator<Item = Member<E>>) {
        let members = members.into_iter().collect();
        let members = Members::new(members, self.shared.replicas, self.shared.spread);
        self.shared.members.store(Arc::new(members));
    }

    /// The members as they are now.
    #[must_use]
    pub fn members(&self) -> Arc<Members<E>> {
        self.shared.members.load_full()
    }

    pub(super) fn load(&self) -> arc_swap::Guard<Arc<Members<E>>> {
        self.shared.members.load()
    }
}

impl<E> Default for Pool<E> {
    /// 150 points each, plain CRC-32.
    fn default() -> Self {
        Self::new(DEFAULT_REPLICAS, Spread::Plain)
    }
}

impl<E> Clone for Pool<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for Pool<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.load();
        let names = members.iter().map(|member| (member.name(), member.health().is_up()));
        f.debug_map().entries(names).finish()
    }
}

impl<E> Members<E> {
    fn new(mut members: Vec<Member<E>>, replicas: NonZeroU16, spread: Spread) -> Self {
        // Stable, so that the first of a name stays first.
        members.sort_by(|a, b| a.name().cmp(b.name()));
        members.dedup_by(|later, first| later.name() == first.name());
        let nodes = members.iter().map(|member| (&**member.name(), member.weight));
        let ring = Ring::weighted(nodes, replicas, spread);
        let has_new = members.iter().any(|member| member.ramp.is_some());
        Self { ring, members: members.into(), has_new }
    }

    /// All of them, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Member<E>> {
        self.members.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The ring they are on.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Which member a first try with `key` goes to, by its place among [all](Self::iter): the owner, or while that is not
    /// healthy the one that stands in for it. `None` where there is none.
    ///
    /// Load bounds don't count: they are about single requests.
    #[must_use]
    pub fn position(&self, key: &[u8]) -> Option<usize> {
        let chosen = self.choose(key, None, None)?;
        self.members.iter().position(|member| std::ptr::eq(member, chosen))
    }

    /// The member to ask for `key`.
    pub(super) fn choose(
        &self,
        key: &[u8],
        tried: Option<&Tried>,
        bound: Option<LoadBound>,
    ) -> Option<&Member<E>> {
        let untried =
            |member: &Member<E>| !tried.is_some_and(|tried| tried.contains(member.name()));
        let fit = |member: &&Member<E>| member.health.is_up() && untried(member);
        let owner = match bound {
            Some(bound) => {
                let load = |node: kamaitachi_policies::ring::NodeIndex| {
                    self.members[node.get()].in_flight()
                };
                self.ring.owner_bounded(key, bound, load)
            }
            None => self.ring.owner(key),
        };
        let owner = &self.members[owner?.get()];
        let along = || self.ring.successors(key).map(|node| &self.members[node.get()]);
        if self.has_new && !owner.takes(key) {
            // It is not given this key yet, unless nobody else can be asked.
            if let Some(former) = along().find(|member| member.takes(key) && fit(member)) {
                return Some(former);
            }
        }
        if fit(&owner) {
            return Some(owner);
        }
        let fit = along().find(fit);
        if fit.is_some() || tried.is_some_and(Tried::is_only_fit) {
            return fit;
        }
        along().find(|member| untried(member)).or(Some(owner))
    }
}

impl<'a, E> IntoIterator for &'a Members<E> {
    type Item = &'a Member<E>;
    type IntoIter = std::slice::Iter<'a, Member<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
