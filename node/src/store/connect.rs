//! Connections, and the settings every one of them has.

use rusqlite::{Connection, OpenFlags, config::DbConfig, limits::Limit};

use super::{Durability, Options};

/// Statements kept prepared by each connection.
const STATEMENTS: usize = 64;
/// Longest text, blob or row: far above what a request may carry.
const LONGEST_VALUE: i32 = 64 << 20;
/// Longest statement: the longest of ours names 2,000 indicators of 64 letters.
const LONGEST_SQL: i32 = 1 << 20;

/// The writing connection; makes the file if it is not there.
pub(super) fn writer(options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = open(options, flags)?;
    // Our own triggers note what others write; what we write we know.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // A log that one large import blew up shrinks again.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    Ok(conn)
}

/// Puts the file in WAL mode, which stays with it: readers then never wait for the writer.
pub(super) fn use_log(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        match row.get_ref(0)?.as_str()? {
            "wal" => Ok(()),
            other => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                Some(format!("the file system allows no write-ahead log (journal mode {other})")),
            )),
        }
    })
}

/// A connection that cannot write.
pub(super) fn reader(options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = open(options, flags)?;
    conn.pragma_update(None, "query_only", true)?;
    // Enough for the inner pages of ten million rows and their index; the kernel keeps the leaves.
    conn.pragma_update(None, "cache_size", -8_192)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(conn)
}

fn open(options: &Options, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(&options.path, flags)?;
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    conn.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_SQL)?;
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // A file that shrinks under a memory map kills the process; read() gives an error.
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    Ok(conn)
}
