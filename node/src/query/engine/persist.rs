//! Saving what is known, and learning it again at the next start.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{task::spawn_blocking, time::Instant};

use super::{Engine, load::Terms};
use crate::{
    cache::snapshot::{
        Header, HistoryId, Opened, SaveError, Saved, SnapshotFiles, Unfit, refuse, set_aside,
        write_entry,
    },
    model::{Revision, Subject},
    query::Source,
    store::StoreError,
};

/// What came of looking for a snapshot to start from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The file that was loaded, by name; `None` if there was none that is good.
    pub file: Option<String>,
    /// Subjects that are known again.
    pub entries: usize,
    /// Subjects left out: expired, written since, or no longer of use.
    pub left_out: usize,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, entries, left_out } = self;
        match file {
            Some(file) => write!(f, "{entries} subjects from {file}, {left_out} left out"),
            None => f.write_str("no snapshot to start from"),
        }
    }
}

impl<S: Source> Engine<S> {
    /// Saves what is known of subjects. The work is done on a blocking thread; once begun it is
    /// done, even if the caller leaves.
    ///
    /// # Errors
    /// [`SaveError`] when the file can't be written. What was saved before is still there.
    ///
    /// # Panics
    /// If the process has no threads to give.
    pub async fn save(&self, files: &Arc<SnapshotFiles>) -> Result<Saved, SaveError> {
        let (inner, files) = (Arc::clone(&self.inner), Arc::clone(files));
        let now = Instant::now().into_std();
        let saving = spawn_blocking(move || {
            // First the revision: whatever is collected after is true at it or later.
            let revision = inner.knowledge.writes.mark().visible;
            let indicators = inner.source.indicators();
            let history = HistoryId::of(&inner.source.mark(), revision);
            let entries = inner.knowledge.entries(now);
            let writers = entries.into_iter().map(|(map, expires)| {
                let ttl = expires.saturating_duration_since(now).as_millis();
                let indicators = &indicators;
                let ttl = u64::try_from(ttl).unwrap_or(u64::MAX);
                move |out: &mut Vec<u8>| write_entry(out, &map, ttl, indicators)
            });
            files.save(revision, history, wall_clock(), writers)
        });
        match saving.await {
            Ok(saved) => saved,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(SaveError::abandoned()),
            },
        }
    }

    /// Learns again what the newest good file holds, as far as it is still true. Whatever is wrong
    /// with the files is logged and otherwise does no harm. For the time before the first query;
    /// later it is merely of less use.
    pub async fn restore(&self, files: &Arc<SnapshotFiles>) -> Restored {
        let mut below = u64::MAX;
        loop {
            let (finder, limit) = (Arc::clone(files), below);
            let found = spawn_blocking(move || finder.newest(limit)).await;
            let Some((number, opened)) = found.unwrap_or_else(|error| {
                tracing::warn!(%error, "looking for cache snapshots failed");
                None
            }) else {
                return Restored::default();
            };
            below = number;
            if let Some(restored) = self.restore_from(files, opened).await {
                return restored;
            }
        }
    }

    /// The store's revision, and the subjects written since a file was saved; `None` where the file
    /// is from another store, or from a state that this one was never in.
    async fn since(&self, header: &Header) -> Result<Option<(Revision, Vec<Subject>)>, StoreError> {
        let source = &self.inner.source;
        let nonce = source.nonce_of(header.revision).await?;
        let (revision, changed) = source.changes_since(header.revision).await?;
        let is_past = header.revision <= revision;
        Ok((is_past && header.history.may_be_of(&source.mark(), nonce))
            .then_some((revision, changed)))
    }

    /// `None` where the file turns out to be no good.
    async fn restore_from(&self, files: &Arc<SnapshotFiles>, opened: Opened) -> Option<Restored> {
        let name = opened.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let header = opened.index.header();
        let mark = self.inner.knowledge.writes.mark();
        let (revision, changed) = match self.since(&header).await {
            Ok(Some(changes)) => changes,
            Ok(None) => {
                // It must not be tried again when this history has come as far.
                tracing::warn!(file = name, "a cache snapshot is of another history of the store");
                set_aside(&opened.path);
                return None;
            }
            Err(error) => {
                tracing::warn!(file = name, %error, "cannot tell what changed since a cache snapshot");
                return None;
            }
        };
        let saved_at = u64::try_from(wall_clock().saturating_sub(header.saved_at));
        let age = Duration::from_millis(saved_at.unwrap_or(0));
        let terms = Terms { changed: changed.into_iter().collect(), revision, mark, age };
        let (inner, reader) = (Arc::clone(&self.inner), Arc::clone(files));
        let path = opened.path.clone();
        let now = Instant::now().into_std();
        let loading = spawn_blocking(move || inner.load(&opened.index, reader.key(), &terms, now));
        let why = match loading.await {
            Ok(Ok((entries, left_out))) => {
                return Some(Restored { file: Some(name), entries, left_out });
            }
            Ok(Err(why)) => why,
            Err(_) => Unfit::Damaged("an entry could not be read"),
        };
        refuse(&path, &why);
        None
    }
}

/// Milliseconds since 1970, by a clock that may be wrong: good for the age of files alone.
fn wall_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
