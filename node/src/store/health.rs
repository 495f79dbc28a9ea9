//! What a store knows of its own health.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::StoreError;

/// Whether writes are taken, and whether the file can be trusted. Set by the store's threads, read
/// by whoever tells others.
#[derive(Debug, Default)]
pub(super) struct Health {
    refused: Mutex<Option<StoreError>>,
    damaged: AtomicBool,
}

impl Health {
    /// The disk refused a write: no other is acknowledged until a probe has succeeded.
    pub(super) fn refuse_writes(&self, why: &StoreError) {
        let before = self.refused.lock().replace(why.clone());
        if before.is_none() {
            tracing::error!(error = %why, "no writes are acknowledged until the disk takes them again");
        }
    }

    /// A probe has succeeded.
    pub(super) fn take_writes(&self) {
        if self.refused.lock().take().is_some() {
            tracing::info!("the disk takes writes again");
        }
    }

    /// SQLite met a page that it cannot make sense of. Stays until the process ends.
    pub(super) fn found_damage(&self) {
        if !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the store's file is damaged: no write is taken any more; `kamaitachi-node check \
                 --db FILE` tells more, a good copy of the file puts it right"
            );
        }
    }

    /// Whether damage was found.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Why no write would be taken now, as far as is known.
    pub(super) fn refused(&self) -> Option<StoreError> {
        if self.is_damaged() { Some(StoreError::Corrupt) } else { self.refused.lock().clone() }
    }
}
