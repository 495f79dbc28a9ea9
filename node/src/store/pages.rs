//! A look over the pages of a file before it is used.

use std::time::Instant;

use rusqlite::ErrorCode;

use super::{Options, connect, error::OpenReason};

/// Steps of SQLite between two looks at the clock. In the check a page is a step, which a disk may take
/// a tenth of a millisecond to read.
const STEPS: i32 = 100;

/// Fails if SQLite's own quick check finds anything within `budget`; what takes longer is left
/// unchecked. A damaged page that is only met later ends the read that meets it, and is told by
/// [`is_damaged`](super::Store::is_damaged).
///
/// On a connection of its own, whose memory of pages goes with it.
pub(super) fn look_over(options: &Options) -> Result<(), OpenReason> {
    let budget = options.look_over;
    if budget.is_zero() {
        return Ok(());
    }
    let conn = connect::reader(options)?;
    let began = clock();
    conn.progress_handler(STEPS, Some(move || clock().duration_since(began) >= budget))?;
    let found = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(OpenReason::Damaged(found.replace('\n', " "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            tracing::info!(?budget, "the file is too large to be looked over before it is used");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "on a thread of the store, where no clock is paused")]
fn clock() -> Instant {
    Instant::now()
}
