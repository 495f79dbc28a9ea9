//! Passing on what is known of subjects to the node that owns them now.
//!
//! A parcel is a snapshot file on the wire: entries under the revision from which on they are
//! true, each section under a checksum, hottest subjects first. Who takes one in must have come as
//! far as that revision *in the same history*, and leaves out what its own store says was written
//! since: nothing in its cache is then older, or newer, than its store can prove.

use std::{io::Cursor, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{task::spawn_blocking, time::Instant};

use super::{Engine, Inner, load::Terms};
use crate::{
    cache::{
        snapshot::{EntryReader, Header, HistoryId, Reader, Unfit, Writer, write_entry},
        stock_data_map::Known,
    },
    model::Revision,
    query::Source,
    store::StoreError,
};

/// What one node passes on to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// The entries, in the form of a snapshot file.
    pub bytes: Bytes,
    /// How many there are.
    pub entries: usize,
    /// Every entry is true at this revision or later.
    pub revision: Revision,
}

/// What came of a parcel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Subjects that are known now and were not before.
    pub entries: usize,
    /// Subjects left out: known already, written since, or without room.
    pub left_out: usize,
}

/// Why nothing of a parcel was used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its bytes are not those that were sent, or are no parcel.
    #[error("the parcel is {0}")]
    Unfit(String),
    /// It is larger than was allowed.
    #[error("the parcel is larger than {0} bytes")]
    TooLarge(usize),
    /// The store here is not as new as the parcel.
    #[error("the parcel is of revision {of}, the store at {at}")]
    Ahead {
        /// The parcel's revision.
        of: Revision,
        /// What the store is at.
        at: Revision,
    },
    /// The store can't tell what was written since.
    #[error("cannot tell what was written since: {0}")]
    Store(#[from] StoreError),
    /// The process is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl From<Unfit> for Refused {
    fn from(why: Unfit) -> Self {
        Self::Unfit(why.to_string())
    }
}

impl<S: Source> Engine<S> {
    /// What is known of the subjects that `wanted` picks, those used last first, up to about
    /// `max_bytes` of JSON before it is packed.
    ///
    /// The work is done on a blocking thread; once begun it is done, even if the caller leaves.
    ///
    /// # Errors
    /// [`Refused::Stopping`].
    pub async fn give(
        &self,
        wanted: impl Fn(&str) -> bool + Send + 'static,
        max_bytes: usize,
    ) -> Result<Parcel, Refused> {
        let inner = Arc::clone(&self.inner);
        let now = Instant::now().into_std();
        let packing = spawn_blocking(move || inner.pack(wanted, max_bytes, now));
        packing.await.map_err(|_| Refused::Stopping)?
    }

    /// Takes in a parcel of about `max_bytes` at most before it was packed. With `cut` what has arrived
    /// of a longer one is welcome, too.
    ///
    /// It must come from a store with the same history as this one's, which the caller has to
    /// know. Entries go behind everything that is known already, and drive nothing out.
    ///
    /// # Errors
    /// [`Refused`]; nothing is changed then.
    pub async fn take(&self, parcel: Bytes, cut: bool, max_bytes: usize) -> Result<Taken, Refused> {
        let header = Reader::new(Cursor::new(&parcel))?.header();
        let mark = self.inner.knowledge.writes.mark();
        let (revision, changed) = self.inner.source.changes_since(header.revision).await?;
        if header.revision > revision {
            return Err(Refused::Ahead { of: header.revision, at: revision });
        }
        let changed = changed.into_iter().collect();
        let terms = Terms { changed, revision, mark, age: Duration::ZERO };
        let inner = Arc::clone(&self.inner);
        let now = Instant::now().into_std();
        let unpacking = spawn_blocking(move || inner.unpack(&parcel, cut, max_bytes, &terms, now));
        unpacking.await.map_err(|_| Refused::Stopping)?
    }
}

impl<S: Source> Inner<S> {
    fn pack(
        &self,
        wanted: impl Fn(&str) -> bool,
        max_bytes: usize,
        now: std::time::Instant,
    ) -> Result<Parcel, Refused> {
        // First the revision: whatever is collected after is true at it or later.
        let revision = self.knowledge.writes.mark().visible;
        let indicators = self.source.indicators();
        let entries = self.knowledge.entries(now).into_iter().rev();
        let entries = entries.filter(|(map, _)| map.exists() && wanted(map.subject()));
        let failed = |error: std::io::Error| Refused::Unfit(error.to_string());
        let header = Header::new(revision, HistoryId::default(), 0, true, false);
        let mut writer = Writer::new(Vec::new(), header, None).map_err(failed)?;
        let (mut packed, mut bytes) = (0, 0);
        for (map, expires) in entries {
            let ttl = expires.saturating_duration_since(now).as_millis();
            let ttl = u64::try_from(ttl).unwrap_or(u64::MAX);
            let written = writer.entry(|out| {
                let before = out.len();
                write_entry(out, &map, ttl, &indicators);
                bytes += out.len() - before;
            });
            packed += usize::from(written.map_err(failed)?);
            if bytes >= max_bytes {
                break;
            }
        }
        let bytes = writer.finish().map_err(failed)?;
        Ok(Parcel { bytes: bytes.into(), entries: packed, revision })
    }

    fn unpack(
        &self,
        parcel: &Bytes,
        cut: bool,
        max_bytes: usize,
        terms: &Terms,
        now: std::time::Instant,
    ) -> Result<Taken, Refused> {
        let longest = self.knowledge.limits().ttl;
        let indicators = self.source.indicators();
        let mut entries = EntryReader::new(&indicators);
        let mut reader = Reader::new(Cursor::new(parcel))?;
        let (mut maps, mut left_out, mut bytes) = (Vec::<(Known, _)>::new(), 0, 0);
        loop {
            let section = match reader.section(None) {
                Ok(Some(section)) => section,
                Ok(None) => break,
                Err(Unfit::Cut) if cut => break,
                Err(why) => return Err(why.into()),
            };
            // The last section may pass the limit, by the entry that did.
            if bytes > max_bytes {
                return Err(Refused::TooLarge(max_bytes));
            }
            bytes += section.len();
            let each = |map, ttl| match terms.left(&map, ttl, longest) {
                Some(left) => maps.push((Arc::new(map), now + left)),
                None => left_out += 1,
            };
            entries.section(&section, each).map_err(|why| Refused::Unfit(why.to_string()))?;
        }
        let (entries, late) = self.install(maps.into_iter(), terms.mark, now);
        Ok(Taken { entries, left_out: left_out + late })
    }
}
