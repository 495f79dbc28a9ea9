//! The word of somebody who knows nodes otherwise than by their registrations.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::NodeAddr;

type Word = dyn Fn(&NodeAddr) -> bool + Send + Sync;

/// Whether a node serves, by the word of somebody who asks it, and may be known only after the following has begun.
/// Clones are one. Nobody vouches for any node until [`by`](Self::by) is called.
#[derive(Clone, Default)]
pub struct Vouch(Arc<OnceLock<Box<Word>>>);

impl Vouch {
    /// From now on `word` counts. It is called on the task that follows, so it must not block. Only the first counts.
    pub fn by(&self, word: impl Fn(&NodeAddr) -> bool + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(word));
    }

    /// Whether somebody says that this node serves.
    #[must_use]
    pub fn says(&self, addr: &NodeAddr) -> bool {
        self.0.get().is_some_and(|word| word(addr))
    }
}

impl fmt::Debug for Vouch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vouch").field("is_set", &self.0.get().is_some()).finish()
    }
}
