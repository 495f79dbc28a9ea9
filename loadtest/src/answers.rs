//! A file with a line for every answer, for whoever wants to know what happened at a moment.
//!
//! A line is `WHEN LATENCY OUTCOME`: milliseconds of the wall clock (since 1970) at which the answer was whole or given up,
//! microseconds since its intended start, and what became of it in words.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use crate::record::Outcome;

/// Where lines are written; all connections of a run share it.
pub struct Answers(Mutex<BufWriter<File>>);

impl Answers {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(file: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(BufWriter::new(File::create(file)?))))
    }

    /// Notes an answer that ended now.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self, latency: Duration, outcome: Outcome) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut file = self.0.lock();
        writeln!(file, "{} {} {}", now.as_millis(), latency.as_micros(), outcome.name())
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}
