//! Saving the cache: now and then, on demand, at a stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{error, info};

use crate::{
    api::App,
    cache::snapshot::{SaveError, Saved, SnapshotFiles},
    query::{Engine, Restored},
    store::Store,
};

/// The snapshot files of a node, and how saving to them has gone.
#[derive(Debug)]
pub struct Snapshots {
    files: Arc<SnapshotFiles>,
    restored: Restored,
    /// Epoch seconds; 0 is never.
    last_success: AtomicU64,
    saved: AtomicU64,
    failed: AtomicU64,
}

impl Snapshots {
    /// Loads the newest good file into `engine`.
    pub(crate) async fn restore(engine: &Engine<Store>, files: SnapshotFiles) -> Self {
        let files = Arc::new(files);
        let restored = engine.restore(&files).await;
        let zero = AtomicU64::default;
        Self { files, restored, last_success: zero(), saved: zero(), failed: zero() }
    }

    /// What was loaded at the start.
    #[must_use]
    pub fn restored(&self) -> &Restored {
        &self.restored
    }

    /// Saves what `engine` knows.
    ///
    /// # Errors
    /// If the file can't be written. What was saved before is still there.
    pub async fn save(&self, engine: &Engine<Store>) -> Result<Saved, SaveError> {
        match engine.save(&self.files).await {
            Ok(saved) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.last_success.store(since.as_secs(), Relaxed);
                self.saved.fetch_add(1, Relaxed);
                let file = saved.path.display();
                info!(%file, entries = saved.entries, bytes = saved.bytes, "cache snapshot saved");
                Ok(saved)
            }
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                error!(%error, "no cache snapshot could be saved");
                Err(error)
            }
        }
    }

    /// Removes all, for the store they speak of is no more. Blocks.
    pub(crate) fn retire(&self) {
        self.files.retire();
    }

    /// When a file was last saved, in epoch seconds; 0 is never.
    #[must_use]
    pub fn last_success(&self) -> u64 {
        self.last_success.load(Relaxed)
    }

    /// How often saving has succeeded and failed.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.saved.load(Relaxed), self.failed.load(Relaxed))
    }
}

/// Saves every `interval` for as long as it is polled. A failure is logged and tried again at the
/// next turn.
pub(crate) async fn keep_saving(app: &App, interval: Duration) {
    let mut turns = tokio::time::interval(interval);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first turn is now, when there is nothing worth saving.
    turns.tick().await;
    loop {
        turns.tick().await;
        if let Some(core) = app.core() {
            // Told already, and counted.
            let _ = core.snapshots.save(&core.engine).await;
        }
    }
}
