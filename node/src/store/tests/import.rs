//! Files of rows into a store.

use std::io::Write;

use super::*;
use crate::store::{ImportError, StoreError, Totals, import};

fn file(fixture: &Fixture, name: &str, text: &str) -> std::path::PathBuf {
    let path = fixture.dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn imports_csv_ndjson_and_gzip() {
    let fixture = Fixture::new().await;
    let csv =
        file(&fixture, "rows.CSV", "subject,report_date,operating_income\n33:1,1,1.5\n33:1,2,\n");
    let json = r#"{"subject":"33:2","report_date":1,"data":{"operating_income":2}}"#;
    let ndjson = file(&fixture, "rows.jsonl", json);
    let gz = fixture.dir.path().join("more.ndjson.gz");
    let mut packed = flate2::write::GzEncoder::new(
        std::fs::File::create(&gz).unwrap(),
        flate2::Compression::fast(),
    );
    packed.write_all(json.replace("33:2", "33:3").as_bytes()).unwrap();
    packed.finish().unwrap();
    for path in [&csv, &ndjson, &gz] {
        let mut seen = 0;
        let done = import(&fixture.store, path, false, |rows| seen = rows).await.unwrap();
        assert_eq!(done.rows, seen);
        assert_eq!(done.revision, fixture.store.revision());
    }
    assert_eq!(fixture.store.totals(), Totals { records: 4, subjects: 3 });
    assert_eq!(all(&fixture.store, "33:3").await.rows[0].values[0], Some(2.0));
}

#[tokio::test]
async fn a_wrong_line_anywhere_leaves_the_store_as_it_was() {
    let fixture = Fixture::new().await;
    let rows: String = (0..50_001).map(|n| format!("33:1,{n},1\n")).collect();
    let text = format!("subject,report_date,operating_income\n{rows}33:1,oops,1\n");
    let wrong = import(&fixture.store, &file(&fixture, "a.csv", &text), false, |_| {}).await;
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.contains("a.csv: line 50003: report_date: expected epoch seconds"), "{wrong}");
    let path = file(&fixture, "b.csv", "subject,report_date,nothing\n33:1,1,1\n");
    let unknown = import(&fixture.store, &path, false, |_| {}).await.unwrap_err();
    let ImportError::Store { error, written: 0, .. } = unknown else { panic!("{unknown}") };
    assert_eq!(error, StoreError::UnknownIndicator { name: "nothing".into(), line: 1 });
    let path = file(&fixture, "c.txt", "");
    let form = import(&fixture.store, &path, false, |_| {}).await.unwrap_err();
    assert!(matches!(form, ImportError::Format(_)));
    let absent = fixture.dir.path().join("absent.csv");
    assert!(import(&fixture.store, &absent, false, |_| {}).await.is_err());
    assert_eq!((fixture.store.revision(), fixture.store.totals()), (0, Totals::default()));
}

#[tokio::test]
async fn of_bad_lines_the_first_is_told_whatever_is_wrong_with_it() {
    let fixture = Fixture::new().await;
    let line = |name: &str, date: &str| {
        format!("{{\"subject\":\"33:1\",\"report_date\":{date},\"data\":{{\"{name}\":1}}}}\n")
    };
    let told = async |name: &str, text: String, create: bool| {
        let path = file(&fixture, name, &text);
        import(&fixture.store, &path, create, |_| {}).await.unwrap_err().to_string()
    };
    let good = line("operating_income", "1");
    let text = format!("{good}{}{good}{}", line("nothing", "2"), line("operating_income", "\"x\""));
    let unknown = told("a.ndjson", text.clone(), false).await;
    assert!(unknown.contains("line 2: unknown indicator \"nothing\""), "{unknown}");
    let malformed = told("b.ndjson", text, true).await;
    assert!(malformed.contains("line 4: report_date"), "{malformed}");
    let csv = "subject,report_date,nothing\n33:1,x,1\n".to_owned();
    let unknown = told("c.csv", csv, false).await;
    assert!(unknown.contains("line 1: unknown indicator \"nothing\""), "{unknown}");
    // What cannot become an indicator is found before anything is written, too.
    let many = good.repeat(50_001);
    let invalid = told("d.ndjson", format!("{many}{}", line("1st", "2")), true).await;
    assert!(invalid.contains("line 50002: indicator \"1st\""), "{invalid}");
    assert_eq!((fixture.store.revision(), fixture.store.totals()), (0, Totals::default()));
}
