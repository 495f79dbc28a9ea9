//! The file a sample is written to.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Statement, config::DbConfig, params};
use tempfile::TempPath;

use super::{
    SampleError,
    figures::{Figures, INDICATORS},
    generate::Quarter,
    subjects::Subject,
};
use crate::store::{
    OpenReason,
    schema::{complete, prepare},
};

/// A database on its way to `path`.
#[derive(Debug)]
pub(super) struct SampleFile {
    path: PathBuf,
    /// Where it is written, beside its place; removed if it never gets there.
    partial: TempPath,
    conn: Connection,
}

impl SampleFile {
    /// Starts a file with empty tables, in one transaction that lasts until the end.
    pub(super) fn create(path: &Path, overwrite: bool) -> Result<Self, SampleError> {
        let failed = |error| SampleError::File { path: path.to_owned(), error };
        match fs::metadata(path) {
            Ok(there) if there.len() > 0 && !overwrite => {
                return Err(SampleError::Exists(path.to_owned()));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let partial = tempfile::Builder::new()
            .prefix(".sample-")
            // As any new file, not as a secret one.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory.unwrap_or(Path::new(".")))
            .map_err(failed)?
            .into_temp_path();
        let open = || -> Result<Connection, OpenReason> {
            let conn = Connection::open(&partial)?;
            // Nothing has to survive a crash before the file is in its place.
            conn.pragma_update(None, "journal_mode", "OFF")?;
            conn.pragma_update(None, "synchronous", "OFF")?;
            conn.pragma_update(None, "cache_size", -65_536)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
            conn.execute_batch("BEGIN")?;
            prepare(&conn)?;
            for column in ["status", "listing_date", "declare_date"] {
                conn.execute_batch(&format!("ALTER TABLE finance_data ADD COLUMN {column} TEXT"))?;
            }
            for indicator in &INDICATORS[2..] {
                conn.execute_batch(&format!(
                    "ALTER TABLE finance_data ADD COLUMN {indicator} REAL"
                ))?;
            }
            Ok(conn)
        };
        let conn =
            open().map_err(|reason| SampleError::Database { path: path.to_owned(), reason })?;
        Ok(Self { path: path.to_owned(), partial, conn })
    }

    /// The statements that fill it.
    pub(super) fn inserts(&self) -> Result<Inserts<'_>, OpenReason> {
        let columns = INDICATORS.join(", ");
        let row = self.conn.prepare(&format!(
            "INSERT INTO finance_data (market_code, stock_code, subject_key, stock_name, status, \
             listing_date, report_date, end_date, year, period, declare_date, {columns}) VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
        ))?;
        let tag = self
            .conn
            .prepare("INSERT INTO subject_tags (subject_key, id, keyword) VALUES (?1, ?2, ?3)")?;
        Ok(Inserts { row, tag })
    }

    /// Adds keys and accounts and puts the file in its place; gives its size.
    pub(super) fn finish(self) -> Result<u64, SampleError> {
        let Self { path, partial, conn } = self;
        let done = complete(&conn).and_then(|()| Ok(conn.execute_batch("COMMIT")?));
        done.and_then(|()| Ok(conn.close().map_err(|(_, error)| error)?))
            .map_err(|reason| SampleError::Database { path: path.clone(), reason })?;
        put(partial, &path).map_err(|error| SampleError::File { path, error })
    }
}

fn put(partial: TempPath, path: &Path) -> io::Result<u64> {
    let file = File::open(&partial)?;
    file.sync_all()?;
    // The log of a file that is replaced must not be taken for the log of this one.
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    partial.persist(path).map_err(|error| error.error)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(file.metadata()?.len())
}

/// What the rows of a subject have in common.
pub(super) struct Common<'a> {
    pub(super) code: &'a str,
    pub(super) subject: &'a Subject,
    pub(super) listing_date: &'a str,
}

/// One row apart from that.
pub(super) struct Row<'a> {
    pub(super) texts: &'a Quarter,
    pub(super) declare_date: &'a str,
    pub(super) figures: Figures,
}

/// The statements that fill a sample.
pub(super) struct Inserts<'c> {
    row: Statement<'c>,
    tag: Statement<'c>,
}

impl Inserts<'_> {
    pub(super) fn row(&mut self, of: &Common<'_>, row: &Row<'_>) -> rusqlite::Result<()> {
        let (market, code) = of.code.split_once(':').unwrap_or(("", of.code));
        let texts = [market, code, of.code, &of.subject.name, of.subject.status, of.listing_date];
        for (n, text) in texts.into_iter().enumerate() {
            self.row.raw_bind_parameter(n + 1, text)?;
        }
        let Quarter { report_date, end_date, year, period } = row.texts;
        self.row.raw_bind_parameter(7, report_date)?;
        let texts = [end_date.as_str(), year, period, row.declare_date];
        for (n, text) in texts.into_iter().enumerate() {
            self.row.raw_bind_parameter(n + 8, text)?;
        }
        for (n, figure) in row.figures.iter().enumerate() {
            self.row.raw_bind_parameter(n + 12, figure)?;
        }
        self.row.raw_execute().map(drop)
    }

    pub(super) fn tag(&mut self, code: &str, id: &str, keyword: &str) -> rusqlite::Result<()> {
        self.tag.execute(params![code, id, keyword]).map(drop)
    }
}
