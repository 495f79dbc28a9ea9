//! Rows of older files that come twice.

use rusqlite::{Connection, ErrorCode};

use super::OpenReason;

const KEY: &str = "CREATE UNIQUE INDEX finance_data_key \
                   ON finance_data(subject_key, report_date)";

/// Makes (`subject_key`, `report_date`) the key. Where rows repeat it the highest `id` stays; the
/// others move to `finance_data_superseded`, whole.
pub(super) fn key_rows(conn: &Connection) -> Result<(), OpenReason> {
    match conn.execute_batch(KEY) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
        done => return Ok(done?),
    }
    conn.execute_batch(
        "CREATE TEMP TABLE superseded AS SELECT id FROM
           (SELECT id, max(id) OVER (PARTITION BY subject_key, report_date) AS newest
              FROM finance_data)
           WHERE id < newest;
         CREATE TABLE finance_data_superseded AS
           SELECT * FROM finance_data WHERE id IN (SELECT id FROM superseded);
         DELETE FROM finance_data WHERE id IN (SELECT id FROM superseded);
         DROP TABLE superseded;",
    )?;
    let moved: i64 =
        conn.query_row("SELECT count(*) FROM finance_data_superseded", [], |row| row.get(0))?;
    tracing::warn!(rows = moved, "rows that repeat a subject and date moved aside");
    Ok(conn.execute_batch(KEY)?)
}
