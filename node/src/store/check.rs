//! Looking over a store's file without changing it.

use std::{fmt, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{
    OpenError, OpenReason, facts,
    schema::{self, Kind, quoted},
    state::State,
};
use crate::model::Indicators;

/// Most findings of SQLite itself that are told.
const MOST: i64 = 20;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Whether the file has the schema of this version; a legacy file gets it when it is opened.
    pub migrated: bool,
    /// The revision of the last write; 0 for a legacy file.
    pub revision: u64,
    /// Rows.
    pub records: u64,
    /// Subjects with rows.
    pub subjects: u64,
    /// Tags for selection.
    pub tags: u64,
    /// Names of the indicators.
    pub indicators: Vec<String>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it can be lived with.
    pub severity: Severity,
    /// What it is.
    pub text: String,
}

/// Whether a finding can be lived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Opening the file, or the next write, puts it right, or it does no harm.
    Notice,
    /// The file is damaged, or its own account is wrong.
    Fault,
}

impl CheckReport {
    /// Whether there is no fault; notices may be there.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Fault)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = if self.migrated { "current" } else { "legacy, migrated when it is opened" };
        writeln!(f, "schema      {schema}")?;
        writeln!(f, "revision    {}", self.revision)?;
        writeln!(f, "records     {}", self.records)?;
        writeln!(f, "subjects    {}", self.subjects)?;
        writeln!(f, "tags        {}", self.tags)?;
        writeln!(f, "indicators  {}", self.indicators.join(" "))?;
        for Finding { severity, text } in &self.findings {
            let severity = match severity {
                Severity::Notice => "notice",
                Severity::Fault => "FAULT",
            };
            writeln!(f, "{severity:<11} {text}")?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "not sound" })
    }
}

/// Looks over the file at `path`. Reads all of it; blocks until it is done.
///
/// # Errors
/// If it cannot be opened at all, or is the database of another program.
pub fn check(path: &Path) -> Result<CheckReport, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let report = Connection::open_with_flags(path, flags)
        .map_err(OpenReason::from)
        .and_then(|conn| Check::new(conn)?.run());
    report.map_err(|reason| OpenError { path: path.to_owned(), reason })
}

struct Check {
    conn: Connection,
    kind: Kind,
    findings: Vec<Finding>,
}

impl Check {
    fn new(conn: Connection) -> Result<Self, OpenReason> {
        let kind = schema::recognise(&conn)?;
        // One snapshot for all of it.
        conn.execute_batch("BEGIN")?;
        Ok(Self { conn, kind, findings: Vec::new() })
    }

    fn run(mut self) -> Result<CheckReport, OpenReason> {
        self.pages()?;
        let migrated = self.kind == Kind::Current;
        let state = if migrated { State::load(&self.conn)? } else { State::default() };
        let indicators = schema::indicators(&self.conn, &Indicators::default())?;
        let (mut records, mut subjects, mut tags) = (0, 0, 0);
        if self.has("finance_data")? {
            records = self.one("SELECT count(*) FROM finance_data")?;
            subjects = self.one("SELECT count(DISTINCT subject_key) FROM finance_data")?;
            self.rows(&indicators)?;
        }
        if self.has("subject_tags")? {
            tags = self.one("SELECT count(*) FROM subject_tags")?;
        }
        if migrated {
            self.accounts(&state, records, subjects)?;
        }
        Ok(CheckReport {
            migrated,
            revision: state.revision,
            records,
            subjects,
            tags,
            indicators: indicators.names().iter().map(ToString::to_string).collect(),
            findings: self.findings,
        })
    }
}

impl Check {
    /// SQLite's own look at every page.
    fn pages(&mut self) -> Result<(), OpenReason> {
        let mut check = self.conn.prepare(&format!("PRAGMA quick_check({MOST})"))?;
        let lines = check.query_map([], |row| row.get::<_, String>(0))?;
        for line in lines {
            match line {
                Ok(line) if line == "ok" => {}
                Ok(line) => self.findings.push(fault(line)),
                Err(error) => {
                    self.findings.push(fault(error.to_string()));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Rows that readers leave out or read as something else.
    fn rows(&mut self, indicators: &Indicators) -> Result<(), OpenReason> {
        if self.kind == Kind::ToMigrate {
            let repeated = self.one(
                "SELECT count(*) - (SELECT count(*) FROM \
                 (SELECT DISTINCT subject_key, report_date FROM finance_data)) FROM finance_data",
            )?;
            self.count(
                repeated,
                Severity::Notice,
                "rows repeat a subject and date: the highest id counts",
            );
        }
        let dates = "SELECT count(*) FROM finance_data WHERE typeof(report_date) <> 'integer'";
        let dates = self.one(dates)?;
        self.count(dates, Severity::Notice, "rows have a report_date that is no whole number");
        let keys = "SELECT count(*) FROM finance_data WHERE subject_key <> market_code || ':' || stock_code";
        let keys = self.one(keys)?;
        self.count(
            keys,
            Severity::Notice,
            "rows have a subject_key that is not market_code:stock_code",
        );
        for name in indicators.names() {
            let column = quoted(name);
            let odd = self.one(&format!(
                "SELECT count(*) FROM finance_data WHERE typeof({column}) NOT IN \
                 ('real', 'integer', 'null') OR {column} IN (9e999, -9e999)"
            ))?;
            self.count(odd, Severity::Notice, &format!("values of {name} are no finite numbers"));
        }
        Ok(())
    }

    /// The file's account of itself against its rows.
    fn accounts(&mut self, state: &State, records: u64, subjects: u64) -> Result<(), OpenReason> {
        let outside = self.one("SELECT count(*) FROM outside_changes")?;
        self.count(
            outside,
            Severity::Notice,
            "subjects were written by another program: the next start takes them in",
        );
        if outside > 0 {
            return Ok(());
        }
        let totals = state.totals;
        if (totals.records, totals.subjects) != (records, subjects) {
            self.findings.push(fault(format!(
                "the file says {} records of {} subjects",
                totals.records, totals.subjects
            )));
        }
        let wrong = self.one(&facts::differing())?;
        self.count(wrong, Severity::Fault, "subjects have facts that their rows do not tell");
        Ok(())
    }

    fn count(&mut self, count: u64, severity: Severity, what: &str) {
        if count > 0 {
            self.findings.push(Finding { severity, text: format!("{count} {what}") });
        }
    }

    fn one(&self, sql: &str) -> Result<u64, OpenReason> {
        Ok(self.conn.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    fn has(&self, table: &str) -> Result<bool, OpenReason> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE name = ?1";
        Ok(self.conn.prepare(sql)?.exists([table])?)
    }
}

fn fault(text: String) -> Finding {
    Finding { severity: Severity::Fault, text }
}
