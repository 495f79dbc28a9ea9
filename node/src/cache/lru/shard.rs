//! One exact LRU: a hash table of slot numbers, and slots linked from newest to oldest.

use std::{hash::Hash, mem, time::Instant};

use hashbrown::{Equivalent, HashTable};

use super::{Cause, Leaving, LruStats};

/// No slot: the end of a chain.
const NONE: u32 = u32::MAX;
/// A table entry and its control byte, in a table that is a third full at the least.
const TABLE_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Shard<K, V> {
    table: HashTable<u32>,
    slots: Vec<Slot<K, V>>,
    newest: u32,
    oldest: u32,
    free: u32,
    bytes: usize,
    max_bytes: usize,
    evictions: u64,
    expired: u64,
}

/// A place for an entry. `older` links the free slots too.
#[derive(Debug)]
struct Slot<K, V> {
    hash: u64,
    newer: u32,
    older: u32,
    entry: Option<Entry<K, V>>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    weight: usize,
    expires: Instant,
}

impl<K: Hash + Eq + Clone, V: Clone> Shard<K, V> {
    /// What an entry takes beyond the weight it is given: its slot, half a slot because slots
    /// double in number when they run out, and its place in the table.
    pub(super) const OVERHEAD: usize = size_of::<Slot<K, V>>() * 3 / 2 + TABLE_BYTES;

    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            newest: NONE,
            oldest: NONE,
            free: NONE,
            bytes: 0,
            max_bytes,
            evictions: 0,
            expired: 0,
        }
    }

    pub(super) fn get<Q>(
        &mut self,
        hash: u64,
        key: &Q,
        now: Instant,
        leaving: &mut Leaving<K, V>,
    ) -> Option<V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let at = self.find(hash, key)?;
        let entry = self.entry(at);
        if entry.expires <= now {
            self.expired += 1;
            self.leave(at, Cause::Expired, leaving);
            return None;
        }
        let value = entry.value.clone();
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
        Some(value)
    }

    pub(super) fn peek<Q>(&self, hash: u64, key: &Q, now: Instant) -> Option<(V, Instant)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let entry = self.entry(self.find(hash, key)?);
        (entry.expires > now).then(|| (entry.value.clone(), entry.expires))
    }

    /// Stores an entry; returns whether it was stored, and what the key held before.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        weight: usize,
        expires: Instant,
        leaving: &mut Leaving<K, V>,
    ) -> (bool, Option<(K, V)>) {
        let replaced = self.remove(hash, &key);
        let weight = weight.saturating_add(Self::OVERHEAD);
        if weight > self.max_bytes {
            return (false, replaced);
        }
        while self.bytes + weight > self.max_bytes {
            self.evictions += 1;
            self.leave(self.oldest, Cause::Full, leaving);
        }
        let at = self.place(hash, Entry { key, value, weight, expires });
        self.link(at);
        (true, replaced)
    }

    /// Stores an entry behind all others if nothing has to give way to it.
    pub(super) fn insert_oldest(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        weight: usize,
        expires: Instant,
    ) -> bool {
        let weight = weight.saturating_add(Self::OVERHEAD);
        let room = self.max_bytes - self.bytes;
        if weight > room || self.find(hash, &key).is_some() {
            return false;
        }
        let at = self.place(hash, Entry { key, value, weight, expires });
        self.link_oldest(at);
        true
    }

    pub(super) fn remove<Q>(&mut self, hash: u64, key: &Q) -> Option<(K, V)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let at = self.find(hash, key)?;
        Some(self.take(at))
    }

    /// Empties the shard; what it held is the caller's to drop.
    pub(super) fn take_all(&mut self) -> Self {
        let mut empty = Self::new(self.max_bytes);
        (empty.evictions, empty.expired) = (self.evictions, self.expired);
        mem::replace(self, empty)
    }

    pub(super) fn bound(&mut self, max_bytes: usize, leaving: &mut Leaving<K, V>) {
        self.max_bytes = max_bytes;
        while self.bytes > max_bytes {
            self.evictions += 1;
            self.leave(self.oldest, Cause::Full, leaving);
        }
    }

    pub(super) fn purge(&mut self, now: Instant, leaving: &mut Leaving<K, V>) {
        let mut at = self.oldest;
        while at != NONE {
            let newer = self.slots[at as usize].newer;
            if self.entry(at).expires <= now {
                self.expired += 1;
                self.leave(at, Cause::Expired, leaving);
            }
            at = newer;
        }
    }

    pub(super) fn collect(&self, now: Instant, into: &mut Vec<(K, V, Instant)>) {
        into.reserve(self.table.len());
        let mut at = self.oldest;
        while at != NONE {
            let entry = self.entry(at);
            if entry.expires > now {
                into.push((entry.key.clone(), entry.value.clone(), entry.expires));
            }
            at = self.slots[at as usize].newer;
        }
    }

    pub(super) fn visit(&self, now: Instant, see: &mut impl FnMut(&K, &V, usize, Instant)) {
        let mut at = self.oldest;
        while at != NONE {
            let entry = self.entry(at);
            if entry.expires > now {
                see(&entry.key, &entry.value, entry.weight, entry.expires);
            }
            at = self.slots[at as usize].newer;
        }
    }

    /// Takes out what `keep` refuses; it is the caller's to drop.
    pub(super) fn retain(&mut self, keep: &mut impl FnMut(&K, &V) -> bool) -> Vec<(K, V)> {
        let mut taken = Vec::new();
        let mut at = self.oldest;
        while at != NONE {
            let newer = self.slots[at as usize].newer;
            let entry = self.entry(at);
            if !keep(&entry.key, &entry.value) {
                taken.push(self.take(at));
            }
            at = newer;
        }
        taken
    }

    pub(super) fn stats(&self) -> LruStats {
        LruStats {
            entries: self.table.len(),
            bytes: self.bytes,
            evictions: self.evictions,
            expired: self.expired,
        }
    }

    pub(super) fn reset_counters(&mut self) {
        (self.evictions, self.expired) = (0, 0);
    }

    fn find<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.table.find(hash, |at| key.equivalent(&self.entry(*at).key)).copied()
    }

    fn entry(&self, at: u32) -> &Entry<K, V> {
        self.slots[at as usize].entry.as_ref().expect("the table and the chain name full slots")
    }

    fn leave(&mut self, at: u32, cause: Cause, leaving: &mut Leaving<K, V>) {
        let (key, value) = self.take(at);
        leaving.push((key, value, cause));
    }

    /// Empties a full slot and puts it on the free chain.
    fn take(&mut self, at: u32) -> (K, V) {
        self.unlink(at);
        let slot = &mut self.slots[at as usize];
        let entry = slot.entry.take().expect("only full slots are linked");
        slot.older = self.free;
        self.free = at;
        self.bytes -= entry.weight;
        if let Ok(place) = self.table.find_entry(slot.hash, |other| *other == at) {
            place.remove();
        }
        (entry.key, entry.value)
    }

    /// Puts an entry into a free slot, or a new one, and into the table.
    fn place(&mut self, hash: u64, entry: Entry<K, V>) -> u32 {
        self.bytes += entry.weight;
        let slot = Slot { hash, newer: NONE, older: NONE, entry: Some(entry) };
        let at = if self.free == NONE {
            let at = u32::try_from(self.slots.len()).expect("four billion entries fit no memory");
            self.slots.push(slot);
            at
        } else {
            let at = self.free;
            self.free = self.slots[at as usize].older;
            self.slots[at as usize] = slot;
            at
        };
        let slots = &self.slots;
        self.table.insert_unique(hash, at, |other| slots[*other as usize].hash);
        at
    }

    fn unlink(&mut self, at: u32) {
        let Slot { newer, older, .. } = self.slots[at as usize];
        match newer {
            NONE => self.newest = older,
            _ => self.slots[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.slots[older as usize].newer = newer,
        }
    }

    fn link(&mut self, at: u32) {
        let second = mem::replace(&mut self.newest, at);
        match second {
            NONE => self.oldest = at,
            _ => self.slots[second as usize].newer = at,
        }
        let slot = &mut self.slots[at as usize];
        (slot.newer, slot.older) = (NONE, second);
    }

    fn link_oldest(&mut self, at: u32) {
        let second = mem::replace(&mut self.oldest, at);
        match second {
            NONE => self.newest = at,
            _ => self.slots[second as usize].older = at,
        }
        let slot = &mut self.slots[at as usize];
        (slot.newer, slot.older) = (second, NONE);
    }
}
