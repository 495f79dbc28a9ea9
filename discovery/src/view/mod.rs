//! From what etcd lists and tells to who is a member.
//!
//! A [`View`] is a state machine without a clock and without I/O: it is given whole lists ([`View::list`]) and changes
//! ([`View::changes`]), each with the revision of the store it is true for, and says who is a member
//! ([`View::members`]). Apart from the guard below that is a function of what the store holds, and not of the way it
//! came to be known: lists and changes may repeat and overlap, and what is older than what is known is passed over.
//!
//! # The guard
//!
//! To lose all nodes at once is worse than to know some that are gone: those are noticed by probes and failed requests,
//! and go nowhere else. So what looks like a fault of the store rather than the end of nodes is not believed at once:
//!
//! - a **list** that leaves less than `100 - max_drop_percent` of the members, such as the empty one of an etcd that was
//!   restored or started anew;
//! - any loss in a list of **another store**, that is where the revision went back, or the cluster or its term changed
//!   the way they never do in one store's life;
//! - several members deleted by **one transaction** that leaves as few: a script's `del --prefix`. A lease that expires
//!   or is revoked deletes the keys of one node only.
//!
//! The members that are missing are held, until they are back (nodes register themselves again within seconds) or a
//! later list, at least `hold` after the first, still doesn't have them.
//!
//! A single deletion is no suspicion and counts at once: that is how a node leaves, by its own word or by the end of its
//! lease, also one of two, also the last one. But where nodes and etcd cannot reach each other, or etcd stands still, the
//! leases end one after the other, though nothing is wrong with the nodes. So of several registrations with a lease that
//! end singly, but within `window`, and leave as few, those are held whose nodes somebody **vouches** for, such as who
//! probes them, for as long as that is so: registrations that cannot be kept say nothing of nodes that serve.

mod entry;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    time::{Duration, Instant},
};

pub use entry::{Change, Entry, read};

use crate::{
    NodeAddr,
    allow::{Allow, Refusal},
};

/// More nodes than this are a script gone wrong, and a ring of a million points.
pub const MOST_NODES: usize = 1_000;

/// When the loss of members is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The share of the members that may be lost at once, in percent. Default 50; 100 believes everything.
    pub max_drop_percent: u8,
    /// How long they must be missing. Default 30 s, three times the lease of a node.
    pub hold: Duration,
    /// Losses within this are losses at once. Default 10 s, the lease of a node: leases that were all kept alive end
    /// within less of each other.
    pub window: Duration,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_drop_percent: 50,
            hold: Duration::from_secs(30),
            window: Duration::from_secs(10),
        }
    }
}

impl Guard {
    fn suspects(&self, before: usize, left: usize) -> bool {
        left * 100 < before * usize::from(100 - self.max_drop_percent.min(100))
    }
}

/// What a store says of itself with each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which store.
    pub cluster: u64,
    /// How often it chose a leader.
    pub term: u64,
    /// How often it was written to.
    pub revision: i64,
}

impl Mark {
    /// Whether a store that was at `self` can be at `next` later.
    fn may_become(&self, next: &Self) -> bool {
        self.cluster == next.cluster && self.term <= next.term && self.revision <= next.revision
    }
}

/// A registration that was not taken, and was not seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its key, without the service's prefix; cut where it is long.
    pub key: String,
    /// Why.
    pub why: Refusal,
}

/// What is known of the members of one service. See the [module](self).
#[derive(Clone, Debug)]
pub struct View {
    allow: Allow,
    most: usize,
    guard: Guard,
    mark: Option<Mark>,
    listed: BTreeSet<NodeAddr>,
    held: BTreeMap<NodeAddr, Held>,
    /// Those that went one by one, and when, as long as that is within the guard's window.
    gone: BTreeMap<NodeAddr, Instant>,
    refusals: HashSet<u64>,
    refused: u64,
    holds: u64,
}

/// A member that is not listed.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    /// Whether it is one only as long as somebody vouches for it.
    on_word: bool,
}

/// Whether somebody who knows a node says that it serves.
pub type Vouched<'a> = &'a dyn Fn(&NodeAddr) -> bool;

/// The addresses of a host; none where they are not known.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Vec<IpAddr>;

impl View {
    /// A view that begins with `start`, which nobody has confirmed.
    #[must_use]
    pub fn new(
        allow: Allow,
        most: usize,
        guard: Guard,
        start: impl IntoIterator<Item = NodeAddr>,
    ) -> Self {
        Self {
            allow,
            most,
            guard,
            mark: None,
            listed: start.into_iter().take(most).collect(),
            held: BTreeMap::new(),
            gone: BTreeMap::new(),
            refusals: HashSet::new(),
            refused: 0,
            holds: 0,
        }
    }

    /// Takes a whole list, true at `mark`. Answers the registrations that are refused anew.
    pub fn list<'a>(
        &mut self,
        now: Instant,
        mark: Mark,
        entries: impl IntoIterator<Item = Entry<'a>>,
        resolve: Resolve<'_>,
    ) -> Vec<Refused> {
        let before: BTreeSet<_> = self.members().into_iter().collect();
        let (mut listed, mut news) = (BTreeSet::new(), Vec::new());
        let known = std::mem::take(&mut self.refusals);
        let mut surplus = Vec::new();
        for entry in entries {
            match self.admit(&entry, resolve) {
                // Who is a member stays one where there are too many.
                Ok(addr) if before.contains(&addr) => drop(listed.insert(addr)),
                Ok(addr) => surplus.push((addr, entry)),
                Err(why) => self.refuse(&entry, why, &known, &mut news),
            }
        }
        for (addr, entry) in surplus {
            if listed.len() < self.most {
                listed.insert(addr);
            } else {
                self.refuse(&entry, Refusal::TooMany(self.most), &known, &mut news);
            }
        }
        let same_store = self.mark.is_none_or(|known| known.may_become(&mark));
        // Newcomers do not make up for those that are missing, unless nobody had confirmed those.
        let left = match self.mark {
            Some(_) => before.intersection(&listed).count(),
            None => listed.len(),
        };
        let suspect = !same_store || self.guard.suspects(before.len(), left);
        self.held.retain(|addr, held| {
            let in_time = now.duration_since(held.since) < self.guard.hold;
            !listed.contains(addr) && (held.on_word || in_time)
        });
        if suspect {
            // Those that were held before and are not any more have been confirmed to be gone.
            let missing: Vec<_> = self.listed.difference(&listed).cloned().collect();
            self.hold(missing, Held { since: now, on_word: false });
        }
        self.gone.retain(|addr, _| !listed.contains(addr));
        self.listed = listed;
        self.mark = Some(mark);
        news
    }

    /// Takes changes in the order in which they happened; those of one revision belong to one transaction. Answers the
    /// registrations that are refused anew.
    pub fn changes(
        &mut self,
        now: Instant,
        changes: &[Change<'_>],
        resolve: Resolve<'_>,
        vouched: Vouched<'_>,
    ) -> Vec<Refused> {
        let (mut news, mut singly) = (Vec::new(), BTreeMap::new());
        self.gone.retain(|_, at| now.duration_since(*at) < self.guard.window);
        let known = self.len() + self.gone.len();
        for transaction in changes.chunk_by(|a, b| a.revision() == b.revision()) {
            let Some(revision) = transaction.first().map(Change::revision) else { continue };
            let Some(mark) = self.mark.as_mut().filter(|mark| mark.revision < revision) else {
                continue;
            };
            mark.revision = revision;
            let before = self.len();
            let mut lost = Vec::new();
            for change in transaction {
                match change {
                    Change::Put { entry, .. } => self.put(entry, resolve, &mut news),
                    Change::Delete { key, leased, .. } => {
                        let Some(addr) = entry::address(key) else { continue };
                        self.held.remove(&addr);
                        if self.listed.remove(&addr) {
                            lost.push((addr, *leased));
                        }
                    }
                }
            }
            let left = before.saturating_sub(lost.len());
            if lost.len() > 1 && self.guard.suspects(before, left) {
                let lost = lost.into_iter().map(|(addr, _)| addr).collect();
                self.hold(lost, Held { since: now, on_word: false });
            } else {
                singly.extend(lost);
            }
        }
        // Some may be back by now.
        singly.retain(|addr, _| !self.listed.contains(addr));
        let several = self.gone.len() + singly.len() > 1;
        let suspect = several && self.guard.suspects(known, self.len());
        let mut kept = Vec::new();
        for (addr, leased) in singly {
            if suspect && leased && vouched(&addr) {
                kept.push(addr);
            } else {
                self.gone.insert(addr, now);
            }
        }
        self.hold(kept, Held { since: now, on_word: true });
        news
    }

    /// Lets go of the members that are held on somebody's word, if that was taken back. To be called every now and
    /// then while there are any.
    pub fn release(&mut self, now: Instant, vouched: Vouched<'_>) {
        let gone = self.held.extract_if(.., |addr, held| held.on_word && !vouched(addr));
        self.gone.extend(gone.map(|(addr, _)| (addr, now)));
    }

    /// Whether members are held on somebody's word.
    #[must_use]
    pub fn holds_on_word(&self) -> bool {
        self.held.values().any(|held| held.on_word)
    }

    /// The members, sorted.
    #[must_use]
    pub fn members(&self) -> Vec<NodeAddr> {
        self.listed
            .iter()
            .chain(self.held.keys())
            .cloned()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// How many there are.
    fn len(&self) -> usize {
        self.listed.len() + self.held.len()
    }

    /// The members that are kept although they are not listed.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// When to list again, to learn whether those that are held are really gone. `None` where none is held, or on
    /// somebody's word alone.
    #[must_use]
    pub fn confirm_at(&self) -> Option<Instant> {
        let to_confirm = self.held.values().filter(|held| !held.on_word);
        to_confirm.map(|held| held.since + self.guard.hold).min()
    }

    /// The revision up to which everything is known; 0 where nothing is.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.mark.map_or(0, |mark| mark.revision)
    }

    /// Registrations refused so far, each time one was seen anew.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How often a loss of members was not believed.
    #[must_use]
    pub fn holds(&self) -> u64 {
        self.holds
    }

    fn put(&mut self, entry: &Entry<'_>, resolve: Resolve<'_>, news: &mut Vec<Refused>) {
        let room = self.listed.len() < self.most;
        let why = match self.admit(entry, resolve) {
            Ok(addr) if room || self.listed.contains(&addr) => {
                self.held.remove(&addr);
                self.gone.remove(&addr);
                self.listed.insert(addr);
                return;
            }
            Ok(_) => Refusal::TooMany(self.most),
            // What the key held before is overwritten.
            Err(why) => {
                if let Some(addr) = entry::address(entry.key) {
                    self.listed.remove(&addr);
                }
                why
            }
        };
        let known = std::mem::take(&mut self.refusals);
        self.refuse(entry, why, &known, news);
        self.refusals.extend(known);
    }

    fn admit(&self, entry: &Entry<'_>, resolve: Resolve<'_>) -> Result<NodeAddr, Refusal> {
        let addr = read(entry)?;
        self.allow.check(&addr, &resolve(addr.host()))?;
        Ok(addr)
    }

    fn refuse(
        &mut self,
        entry: &Entry<'_>,
        why: Refusal,
        known: &HashSet<u64>,
        news: &mut Vec<Refused>,
    ) {
        let hash = entry.hash_with(&why);
        self.refusals.insert(hash);
        if !known.contains(&hash) {
            self.refused += 1;
            news.push(Refused { key: entry.shown(), why });
        }
    }

    /// Keeps those that are missing, where that is wanted at all.
    fn hold(&mut self, missing: Vec<NodeAddr>, held: Held) {
        if self.guard.hold.is_zero() {
            return;
        }
        let before = self.held.len();
        for addr in missing {
            self.held.entry(addr).or_insert(held);
        }
        self.holds += u64::from(self.held.len() > before);
    }
}
