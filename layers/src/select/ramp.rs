//! How much of its keys a member is given while it is new.
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use kamaitachi_policies::ramp::Share;

/// The [`Share`] of a member. Clones are the same: whoever lets it grow holds one, the members another.
#[derive(Clone, Debug)]
pub struct Ramp(Arc<AtomicU32>);

impl Ramp {
    /// Begins with `share`.
    #[must_use]
    pub fn new(share: Share) -> Self {
        Self(Arc::new(AtomicU32::new(share.to_bits())))
    }

    /// The share as it is now.
    #[must_use]
    pub fn share(&self) -> Share {
        Share::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Sets it. One that shrinks would take keys away again.
    pub fn set(&self, share: Share) {
        self.0.store(share.to_bits(), Ordering::Relaxed);
    }
}
