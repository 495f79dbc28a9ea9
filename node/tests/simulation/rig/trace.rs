//! What happened, in order: two runs of a seed are compared by it, and a failure shows its end.

use std::fmt::Write as _;

use parking_lot::Mutex;

/// Lines that a failure shows.
const SHOWN: usize = 40;

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Trace(Mutex<Vec<String>>);

impl Trace {
    pub(crate) fn note(&self, line: impl Into<String>) {
        let mut at = String::new();
        if let Some(now) = turmoil::sim_elapsed() {
            let _ = write!(at, "{:>7} ms  ", now.as_millis());
        }
        self.0.lock().push(at + &line.into());
    }

    /// All of it.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.0.get_mut();
            for line in &lines[lines.len().saturating_sub(SHOWN)..] {
                eprintln!("{line}");
            }
        }
    }
}
