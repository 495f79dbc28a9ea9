//! Reading the log for somebody who follows.

use rusqlite::{OptionalExtension, params};

use super::{Change, key};
use crate::{
    model::Revision,
    store::{
        StoreError,
        history::{History, Mark},
        reader::{Reader, snapshot},
    },
};

/// Where a follower is: what the next part it is given must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    next: i64,
    revision: Revision,
    nonce: i64,
}

impl Cursor {
    /// After the commit of this mark.
    #[must_use]
    pub fn after(mark: &Mark) -> Self {
        let next = key(mark.revision.saturating_add(1), 0);
        Self { next, revision: mark.revision, nonce: mark.nonce }
    }

    /// The last revision that was given whole.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the change is the very next one; then the cursor is after it.
    #[must_use]
    pub fn advance(&mut self, change: &Change) -> bool {
        if key(change.first, change.part) != self.next || change.before != self.nonce {
            return false;
        }
        if change.ends {
            let next = key(change.last.saturating_add(1), 0);
            *self = Self { next, revision: change.last, nonce: change.nonce };
        } else {
            self.next = self.next.saturating_add(1);
        }
        true
    }
}

/// What the log had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// Where the store is.
    pub head: Mark,
    /// The next parts, in order; empty if there are none.
    pub changes: Vec<Change>,
    /// Whether nothing in the log follows the cursor, though the store is elsewhere: the log was
    /// cut, or tells another history.
    pub gap: bool,
}

/// The nonce of the commit that ended with `revision`: the last one, or one that is in the log or
/// before one that is.
pub(in crate::store) fn nonce_of(
    reader: &Reader,
    revision: Revision,
) -> Result<Option<i64>, StoreError> {
    let (transaction, last) = snapshot(&reader.conn)?;
    if last == revision {
        return Ok(Some(History::load(&transaction)?.nonce));
    }
    let Some(next) = revision.checked_add(1).filter(|next| *next <= last) else { return Ok(None) };
    let sql = "SELECT before FROM change_log WHERE key = ?1";
    let mut select = transaction.prepare_cached(sql)?;
    Ok(select.query_row([key(next, 0)], |row| row.get(0)).optional()?)
}

/// The parts after `cursor`, about `bytes` of them, at least one.
pub(in crate::store) fn read(
    reader: &Reader,
    cursor: &Cursor,
    bytes: usize,
) -> Result<LogRead, StoreError> {
    let (transaction, revision) = snapshot(&reader.conn)?;
    let head = History::load(&transaction)?.mark(revision);
    let mut cursor = cursor.clone();
    let (mut changes, mut taken) = (Vec::new(), 0);
    let mut select = transaction.prepare_cached(
        "SELECT key, last, ends, before, nonce, at, ops FROM change_log WHERE key >= ?1 \
         ORDER BY key",
    )?;
    let mut rows = select.query(params![cursor.next])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        let change = Change {
            first: (key >> 16).cast_unsigned(),
            part: u16::try_from(key & 0xffff).unwrap_or_default(),
            last: row.get::<_, i64>(1)?.cast_unsigned(),
            ends: row.get(2)?,
            before: row.get(3)?,
            nonce: row.get(4)?,
            at: row.get::<_, i64>(5)?.cast_unsigned(),
            ops: row.get(6)?,
        };
        if !cursor.advance(&change) {
            break;
        }
        taken += change.ops.len();
        changes.push(change);
        if taken >= bytes {
            break;
        }
    }
    let there = cursor.revision == head.revision && cursor.nonce == head.nonce;
    let gap = changes.is_empty() && !there;
    Ok(LogRead { head, changes, gap })
}
