//! How much the log holds, and how it is kept within its bounds.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

use super::{LogLimits, key};
use crate::{model::Revision, store::StoreError};

/// Commits that are dropped at once: more wait for the next commit.
const DROPS: usize = 64;

/// What the log holds, as of the last commit.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Account {
    pub(super) bytes: u64,
    pub(super) commits: u64,
    /// When the oldest commit was made, in milliseconds since 1970.
    oldest: Option<u64>,
}

impl Account {
    pub(in crate::store) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT coalesce(sum(length(ops)), 0), coalesce(sum(ends), 0), min(at) \
                   FROM change_log";
        conn.query_row(sql, [], |row| {
            let number = |n| row.get::<_, i64>(n).map(i64::unsigned_abs);
            let oldest = row.get::<_, Option<i64>>(2)?.map(i64::unsigned_abs);
            Ok(Self { bytes: number(0)?, commits: number(1)?, oldest })
        })
    }

    pub(super) fn add(&mut self, bytes: u64, at: u64) {
        self.bytes += bytes;
        self.commits += 1;
        self.oldest.get_or_insert(at);
    }

    /// Whether something is to be dropped.
    pub(in crate::store) fn is_over(&self, limits: &LogLimits, now: u64) -> bool {
        let age = u64::try_from(limits.age.as_millis()).unwrap_or(u64::MAX);
        let old = self.oldest.is_some_and(|oldest| now.saturating_sub(oldest) > age);
        self.bytes > limits.bytes || self.commits > limits.commits || old
    }

    /// Drops the oldest commits until the log is within its bounds, or enough was done for once.
    pub(in crate::store) fn trim(
        &mut self,
        conn: &Connection,
        limits: &LogLimits,
        now: u64,
    ) -> Result<(), StoreError> {
        for _ in 0..DROPS {
            if !self.is_over(limits, now) {
                break;
            }
            let Some(first) = oldest(conn)? else {
                *self = Self::default();
                break;
            };
            let range = [key(first, 0), key(first + 1, 0)];
            let sql = "SELECT coalesce(sum(length(ops)), 0) FROM change_log \
                       WHERE key >= ?1 AND key < ?2";
            let bytes: i64 = conn.prepare_cached(sql)?.query_row(range, |row| row.get(0))?;
            conn.prepare_cached("DELETE FROM change_log WHERE key >= ?1 AND key < ?2")?
                .execute(range)?;
            self.bytes = self.bytes.saturating_sub(bytes.unsigned_abs());
            self.commits = self.commits.saturating_sub(1);
            let sql = "SELECT at FROM change_log ORDER BY key LIMIT 1";
            let at = conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
            self.oldest = at.optional()?.map(i64::unsigned_abs);
        }
        Ok(())
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, conn: &Connection) -> Result<(), StoreError> {
        conn.execute("DELETE FROM change_log WHERE key >= ?1", params![i64::MIN])?;
        *self = Self::default();
        Ok(())
    }
}

fn oldest(conn: &Connection) -> Result<Option<Revision>, StoreError> {
    let sql = "SELECT key FROM change_log ORDER BY key LIMIT 1";
    let key = conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)).optional()?;
    Ok(key.map(|key| (key >> 16).cast_unsigned()))
}

/// Milliseconds since 1970, by a clock that may be wrong: good for the age of entries alone.
pub(in crate::store) fn wall_clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
