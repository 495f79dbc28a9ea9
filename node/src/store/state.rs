//! The one row of `store_state`: what the file knows of itself.

use rusqlite::Connection;

use super::Totals;
use crate::model::Revision;

/// The file's own account, kept in step by every write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) revision: Revision,
    /// The last revision that changed members of topics or tags.
    pub(super) membership_revision: Revision,
    pub(super) totals: Totals,
}

impl State {
    pub(super) fn load(conn: &Connection) -> Result<Self, rusqlite::Error> {
        let sql = "SELECT revision, membership_revision, records, subjects FROM store_state \
                   WHERE id = 1";
        conn.prepare_cached(sql)?.query_row([], |row| {
            let number = |n| row.get::<_, i64>(n).map(i64::unsigned_abs);
            Ok(Self {
                revision: number(0)?,
                membership_revision: number(1)?,
                totals: Totals { records: number(2)?, subjects: number(3)? },
            })
        })
    }

    pub(super) fn save(self, conn: &Connection) -> rusqlite::Result<()> {
        let numbers =
            [self.revision, self.membership_revision, self.totals.records, self.totals.subjects]
                .map(u64::cast_signed);
        let sql = "UPDATE store_state SET revision = ?1, membership_revision = ?2, records = ?3, \
                   subjects = ?4 WHERE id = 1";
        conn.prepare_cached(sql)?.execute(numbers)?;
        Ok(())
    }

    /// What a finished write makes of it.
    pub(super) fn advance(&mut self, revision: Revision, totals: Totals, membership: bool) {
        self.revision = revision;
        self.totals = totals;
        if membership {
            self.membership_revision = revision;
        }
    }
}
