//! The subjects of a request: distinct, in order, in two allocations whatever their number.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use smallvec::SmallVec;

/// Up to this many names are compared one by one; a table is kept beyond.
const SCAN: usize = 16;

/// Subjects in the order in which they were named, each once.
///
/// A request names anything from one subject to ten thousand. All names lie in one string, so the
/// usual request costs one allocation here and looking a name up in the cache costs none.
#[derive(Clone, Debug, Default)]
pub struct SubjectList {
    text: String,
    ends: SmallVec<[u32; 8]>,
    seen: Option<Box<Seen>>,
}

/// The names by their hash, keyed at random: names come from clients.
#[derive(Clone, Debug, Default)]
struct Seen {
    hasher: RandomState,
    places: HashTable<u32>,
}

impl SubjectList {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a name, unless it is there already; says whether it was added.
    ///
    /// Blanks are the caller's to trim.
    ///
    /// # Panics
    /// When all names together pass 4 GiB, which no request body can.
    pub fn push(&mut self, name: &str) -> bool {
        if self.has(name) {
            return false;
        }
        let place = u32::try_from(self.len()).expect("fewer names than bytes");
        self.text.push_str(name);
        self.ends.push(u32::try_from(self.text.len()).expect("a request body is far smaller"));
        if self.len() > SCAN {
            self.remember(place);
        }
        true
    }

    /// Whether a name is in the list.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match &self.seen {
            None => self.iter().any(|known| known == name),
            Some(seen) => {
                let hash = seen.hasher.hash_one(name);
                seen.places.find(hash, |place| self.at(*place) == name).is_some()
            }
        }
    }

    /// The names, in the order in which they were added.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|i| self.get(i))
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.text[start..self.ends[i] as usize]
    }

    fn at(&self, place: u32) -> &str {
        self.get(place as usize)
    }

    /// Enters the newest name into the table, and all before it when the table is new.
    fn remember(&mut self, newest: u32) {
        let first = if self.seen.is_some() { newest } else { 0 };
        let mut seen = self.seen.take().unwrap_or_default();
        for place in first..=newest {
            let hash = seen.hasher.hash_one(self.at(place));
            let hasher = &seen.hasher;
            seen.places.insert_unique(hash, place, |p| hasher.hash_one(self.at(*p)));
        }
        self.seen = Some(seen);
    }
}

impl PartialEq for SubjectList {
    fn eq(&self, other: &Self) -> bool {
        self.ends == other.ends && self.text == other.text
    }
}

impl Eq for SubjectList {}

impl<N: AsRef<str>> FromIterator<N> for SubjectList {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Self {
        let mut list = Self::new();
        for name in names {
            list.push(name.as_ref());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_name_once_in_the_order_it_came() {
        for n in [0_usize, 1, 15, 16, 17, 18, 1000] {
            let names: Vec<String> = (0..n).map(|i| format!("33:{i}")).collect();
            let list: SubjectList = names.iter().chain(names.iter().rev()).collect();
            assert_eq!(list.iter().collect::<Vec<_>>(), names);
            assert_eq!(list.len(), n);
            assert!(names.iter().all(|name| list.has(name)));
            assert!(!list.has("33:x") && !list.has(""));
        }
    }

    #[test]
    fn tells_apart_names_that_run_together() {
        let one: SubjectList = ["ab", "c"].into_iter().collect();
        let two: SubjectList = ["a", "bc"].into_iter().collect();
        assert_ne!(one, two);
        assert!(!one.has("abc"));
    }
}
