//! Which history a file tells, and how far: what a master and its followers compare.

use rand::RngExt;
use rusqlite::{Connection, params};

use crate::model::Revision;

/// A place in one history: the same mark means the same content.
///
/// Every commit draws a new nonce, so a store that was put back to an older state and went on from
/// there reaches the same revisions with other nonces, and is told from the one it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The history, named at random when the file was first opened for writing; empty is a file
    /// that belongs to none, such as one that others changed.
    pub lineage: String,
    /// The last revision.
    pub revision: Revision,
    /// The nonce of the commit that made it.
    pub nonce: i64,
}

/// The one row of `store_history`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    pub(super) lineage: String,
    pub(super) nonce: i64,
    /// Columns of `finance_data` as of the last commit that was logged or followed.
    pub(super) columns: usize,
}

impl History {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT lineage, nonce, columns FROM store_history WHERE id = 1";
        conn.prepare_cached(sql)?.query_row([], |row| {
            let columns = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            Ok(Self { lineage: row.get(0)?, nonce: row.get(1)?, columns })
        })
    }

    pub(super) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        let columns = i64::try_from(self.columns).unwrap_or(i64::MAX);
        let sql = "UPDATE store_history SET lineage = ?1, nonce = ?2, columns = ?3 WHERE id = 1";
        conn.prepare_cached(sql)?.execute(params![self.lineage, self.nonce, columns])?;
        Ok(())
    }

    /// A history that nobody else tells.
    pub(super) fn begin(columns: usize) -> Self {
        let lineage = format!("{:032x}", rand::rng().random::<u128>());
        Self { lineage, nonce: nonce(), columns }
    }

    pub(super) fn mark(&self, revision: Revision) -> Mark {
        Mark { lineage: self.lineage.clone(), revision, nonce: self.nonce }
    }
}

/// A number that was not used before, but for an accident of 1 : 2⁶⁴.
pub(super) fn nonce() -> i64 {
    rand::rng().random()
}
