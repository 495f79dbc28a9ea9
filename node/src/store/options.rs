//! How a store is opened.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use super::LogLimits;

/// When a commit is on the disk itself, not just with the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every commit is synced: an acknowledged write survives a power cut. For the database of
    /// record.
    #[default]
    Full,
    /// Synced at checkpoints: an acknowledged write survives the death of the process, but a
    /// power cut may take the last ones. For copies that can be fetched again.
    Normal,
}

/// How a store is opened. [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The SQLite file; made if it does not exist.
    pub path: PathBuf,
    /// Default [`Durability::Full`].
    pub durability: Durability,
    /// Threads that read. Default: one more than the cores, at most 4: a reader that waits for the
    /// disk leaves its core to another.
    pub readers: NonZeroUsize,
    /// How long to wait for another process that holds the file locked. Default 5 s.
    pub busy_timeout: Duration,
    /// Jobs that may wait for the writer, and for the readers; whoever comes later waits outside
    /// without a thread. Default 256.
    pub queue: NonZeroUsize,
    /// Reads that may wait outside; any more are refused at once, so that a store that stands
    /// still fills no memory. Default 4,096.
    pub waiting_reads: usize,
    /// Writes that may wait outside, each with its rows. Default 1,024.
    pub waiting_writes: usize,
    /// Rows that one read may give; a read of more is refused. Default 2,000,000, some hundred
    /// bytes of memory each while the read lasts.
    pub max_rows: usize,
    /// How long to look over the file's pages before it is used; a file with a damaged one is not
    /// opened. What is not seen by then is not looked at. Zero is no look. Default zero.
    pub look_over: Duration,
    /// How often to look for rows that another process wrote. Default 1 s.
    pub look_outside: Duration,
    /// How much of the past is kept for those who follow this store.
    pub log: LogLimits,
    /// Whether the store follows a master: it then takes nothing but that master's changes, and
    /// keeps no log. Default no.
    pub follows: bool,
    /// Whether jobs are done where they are asked for, on the thread of whoever asks, which they hold up, and not by threads
    /// of the store: all happens in one order then. For simulations. Default no.
    pub inline: bool,
}

/// Rows of one read unless told otherwise: 10,000 subjects over fifty years of quarters.
pub const MAX_ROWS: usize = 2_000_000;

impl Options {
    /// The defaults for the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            path: path.into(),
            durability: Durability::default(),
            readers: NonZeroUsize::new((cores + 1).min(4)).unwrap_or(NonZeroUsize::MIN),
            busy_timeout: Duration::from_secs(5),
            queue: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
            waiting_reads: 4_096,
            waiting_writes: 1_024,
            max_rows: MAX_ROWS,
            look_over: Duration::ZERO,
            look_outside: Duration::from_secs(1),
            log: LogLimits::default(),
            follows: false,
            inline: false,
        }
    }
}
