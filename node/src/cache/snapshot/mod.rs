//! The cache on disk: saved now and then and at a stop, loaded at the start.
//!
//! A snapshot is a convenience, never the truth: whatever is wrong with one, the node starts
//! without it. A file is trusted as far as its checksums reach and no length in it is believed
//! before it has been compared with a limit.
//!
//! # File
//!
//! A header, sections, an end. Each section holds about a mebibyte of JSON, one object a line for
//! each subject, compressed and encrypted if so configured, under a CRC-32 of its own, so that
//! neither saving nor loading holds more than a section in memory. All integers are
//! little-endian.
//!
//! | bytes | header |
//! |---|---|
//! | 8 | `KAMASNAP` |
//! | 2 | version, 2 |
//! | 2 | flags: 1 = zstd, 2 = AES-256-GCM |
//! | 8 | the store's revision: every entry is true at it or later |
//! | 8 | when it was saved, in milliseconds since 1970 |
//! | 8 | random: the first two thirds of every nonce, of which the rest is the section's number |
//! | 16 | the lineage of the store that it tells of |
//! | 8 | the nonce of the store's commit of that revision; 0 where it is not known |
//! | 4 | CRC-32 of all that |
//!
//! | bytes | section |
//! |---|---|
//! | 4 | bytes stored; 0 marks the end |
//! | 4 | bytes before compression and encryption; at the end, the number of entries |
//! | 4 | CRC-32 of the section's number, both lengths and what is stored |
//! | … | what is stored |
//!
//! # Directory
//!
//! `cache-00000042.snapshot`, the highest number being the newest whatever the clock said. Files
//! are written under another name, synced, renamed, and the directory is synced. Damaged ones are
//! set aside as `….damaged`.

mod entry;
mod files;
mod format;
mod index;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub(crate) use entry::{EntryReader, write_entry};
pub use files::SnapshotFiles;
pub(crate) use files::{Opened, refuse, set_aside};
pub(crate) use format::{Header, HistoryId, Key, Reader, Writer};
pub(crate) use index::Index;

/// How the cache is saved.
#[derive(Debug)]
pub struct SnapshotOptions {
    /// Where the files go; made if it is not there. No two nodes may share it.
    pub dir: PathBuf,
    /// How many are kept, at least one.
    pub keep: usize,
    /// Whether to compress, with zstd.
    pub compress: bool,
    /// The key to encrypt with, by AES-256-GCM, if at all.
    pub key: Option<secrecy::SecretBox<[u8; 32]>>,
}

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// Subjects in it.
    pub entries: usize,
    /// Its size.
    pub bytes: u64,
}

/// Why nothing was saved. Older files are still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct SaveError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl SaveError {
    /// The process is stopping and its threads are gone.
    pub(crate) fn abandoned() -> Self {
        let source = io::Error::other("the process is stopping");
        Self { doing: "write", path: PathBuf::from("a cache snapshot"), source }
    }

    fn new(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { doing, path, source }
    }
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// Its bytes are not those that were saved.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// It ends before its end.
    #[error("damaged: cut short")]
    Cut,
    /// It is whole, and not for this node as it is configured now.
    #[error("{0}")]
    Unsuited(&'static str),
    /// It cannot be read at all.
    #[error("unreadable: {0}")]
    Unreadable(#[from] io::Error),
}
