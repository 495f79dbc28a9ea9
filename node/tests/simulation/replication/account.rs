//! What was written and what may be read: the judge.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::rig::trace::Trace;

/// Subjects that are written and read.
pub(crate) const SUBJECTS: u8 = 6;

/// What a client says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// To the master: the subject's value is this from now on.
    Write(u8, u64),
    /// To a slave: the subject's value, as of this revision at least.
    Read(u8, u64),
}

/// What it hears.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// It is written, at this revision.
    Written(u64),
    /// The value, as of this revision.
    Value(u64, Option<u64>),
    /// The slave is too far behind.
    Behind,
}

/// What all hosts of a world have in common and no crash takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    trace: Trace,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Revision, subject, value: noted where the master commits, also of what nobody heard of.
    written: Vec<(u64, u8, u64)>,
    /// What a writer was told.
    acknowledged: Vec<(u64, u8, u64)>,
    values: u64,
    found: Found,
}

/// What came up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) acknowledged: u64,
    pub(crate) reads: u64,
    /// Reads of slaves that did not catch up in time.
    pub(crate) behind: u64,
    /// Copies that slaves started from.
    pub(crate) copies: u64,
}

impl Account {
    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// A value that no write had before.
    pub(crate) fn value(&self) -> u64 {
        let mut known = self.0.known.lock();
        known.values += 1;
        known.values
    }

    pub(crate) fn wrote(&self, revision: u64, subject: u8, value: u64) {
        self.0.trace.note(format!("{subject} = {value} at {revision}"));
        let written = &mut self.0.known.lock().written;
        let last = written.last().map_or(0, |last| last.0);
        assert!(revision > last, "the master wrote {revision} after {last}");
        written.push((revision, subject, value));
    }

    pub(crate) fn acknowledged(&self, revision: u64, subject: u8, value: u64) {
        let mut known = self.0.known.lock();
        known.acknowledged.push((revision, subject, value));
        known.found.acknowledged += 1;
    }

    pub(crate) fn copied(&self, slave: &str) {
        self.0.trace.note(format!("{slave} starts from a copy"));
        self.0.known.lock().found.copies += 1;
    }

    /// The last revision that a writer heard of; 0 before the first.
    pub(crate) fn last_acknowledged(&self) -> u64 {
        self.0.known.lock().acknowledged.last().map_or(0, |last| last.0)
    }

    /// What a subject's value is as of a revision.
    pub(crate) fn value_at(&self, revision: u64, subject: u8) -> Option<u64> {
        let known = self.0.known.lock();
        let before = known.written.iter().rev().filter(|write| write.0 <= revision);
        before.filter(|write| write.1 == subject).map(|write| write.2).next()
    }

    /// A slave answered a read of `least`: what it said must be just what was true then.
    pub(crate) fn read(&self, slave: &str, subject: u8, least: u64, told: &Told) {
        self.0.trace.note(format!("{slave}: {subject} from {least}: {told:?}"));
        match told {
            Told::Value(revision, value) => {
                assert!(*revision >= least, "{slave} answers as of {revision}, not {least}");
                let right = self.value_at(*revision, subject);
                assert_eq!(*value, right, "{slave} on {subject} as of {revision}");
                self.0.known.lock().found.reads += 1;
            }
            Told::Behind => self.0.known.lock().found.behind += 1,
            Told::Written(_) => panic!("{slave} wrote"),
        }
    }

    /// Nothing that a writer was told is missing among what the master wrote.
    pub(crate) fn settle(&self) -> Found {
        let known = self.0.known.lock();
        for write in &known.acknowledged {
            assert!(known.written.contains(write), "{write:?} was acknowledged and never written");
        }
        known.found
    }
}
