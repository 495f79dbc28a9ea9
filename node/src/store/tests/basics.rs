//! Reading what was written.

use super::*;

#[tokio::test]
async fn gives_back_what_was_written_and_derives_the_rest_from_the_date() {
    let fixture = Fixture::new().await;
    let written =
        fixture.store.ingest(incomes(&[("33:000001", 1_703_980_800, Some(1.5))]), false).await;
    assert_eq!(written.unwrap().revision, 1);
    let found = all(&fixture.store, "33:000001").await;
    assert_eq!(found.rows[0].values[..], [Some(1.5), None]);
    let info = &found.rows[0].info;
    assert_eq!((&*info.end_date, &*info.year, &*info.period), ("2023-12-31", "2023", "596004"));
    assert_eq!(found.subject.unwrap().category.as_deref(), Some("stock"));
    let again = fixture.reopen().await;
    assert_eq!(again.store.revision(), 1);
    assert_eq!(all(&again.store, "33:000001").await.rows, found.rows);
}
