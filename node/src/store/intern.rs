//! One allocation for a text that many rows share.

use std::sync::Arc;

use hashbrown::HashSet;

/// Hands out the same `Arc` for equal texts, such as the few hundred dates of a whole market.
///
/// Bounded: when full it forgets everything and starts again.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
}

/// Most texts kept: some hundred kilobytes, and more quarters than any market has.
const MOST: usize = 4_096;
/// Longer texts are not worth a place.
const LONGEST: usize = 64;

impl Interner {
    /// The shared form of `text`.
    pub(super) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        if text.len() <= LONGEST {
            if self.texts.len() >= MOST {
                self.texts.clear();
            }
            self.texts.insert(Arc::clone(&new));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_equal_texts_and_stays_bounded() {
        let mut interner = Interner::default();
        assert!(Arc::ptr_eq(&interner.get("2024"), &interner.get("2024")));
        for n in 0..10_000 {
            assert_eq!(&*interner.get(&n.to_string()), n.to_string());
        }
        interner.get(&"x".repeat(100));
        assert!(interner.texts.len() <= MOST);
    }
}
