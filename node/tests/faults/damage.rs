//! Files that are not what they should be: a clear error at `check`, at the start and on the read
//! that meets it; never a wrong row, never a panic.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use crate::{node, rig::until};

const SUBJECT: &str = "33:000001";
const PAGE: usize = 4_096;

/// A database of a node that was stopped.
fn stopped(dir: &Path) -> PathBuf {
    let db = dir.join("node.db");
    let node = node::start(&db, &[]);
    for subject in ["33:000001", "33:000002", "33:000003"] {
        node::ingest(&node, subject, 1..1_500).data();
    }
    assert!(node.signal_and_end("TERM").success());
    db
}

/// Neither `check` nor a start takes the file; both say why, the start in one line.
fn refused(db: &Path, words: &str) {
    let (code, text) = node::tool(&["check", "--db", db.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(words) && text.contains("node.db"), "{words} is not in {text}");
    let ended = node::try_start(node::command(db, &[])).unwrap_err();
    let said = ended.error();
    assert!(said.contains("node.db") && said.contains(words), "{words} is not in {said}");
}

#[test]
fn files_that_are_no_store_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    fs::write(&db, "no database, whatever its name says".repeat(500)).unwrap();
    refused(&db, "is not a SQLite database");
    fs::remove_file(&db).unwrap();
    let foreign = Connection::open(&db).unwrap();
    foreign.execute_batch("CREATE TABLE recipes(name TEXT)").unwrap();
    refused(&db, "is the database of another program");
    foreign.execute_batch("DROP TABLE recipes; CREATE TABLE finance_data(a, b)").unwrap();
    refused(&db, "finance_data");
    drop(foreign);
    fs::remove_file(&db).unwrap();
    let db = stopped(dir.path());
    let sound = fs::read(&db).unwrap();
    Connection::open(&db).unwrap().execute_batch("UPDATE store_state SET schema = 99").unwrap();
    refused(&db, "use a newer version");
    fs::write(&db, &sound[..sound.len() / 2]).unwrap();
    refused(&db, "damaged");
    let mut zeroed = sound;
    let at = leaf(&zeroed);
    zeroed[at..at + PAGE].fill(0);
    fs::write(&db, zeroed).unwrap();
    refused(&db, "");
}

/// Where a page of rows begins: in the middle of the largest table.
fn leaf(file: &[u8]) -> usize {
    let db = tempfile::NamedTempFile::new().unwrap();
    fs::write(db.path(), file).unwrap();
    let rows = Connection::open(db.path()).unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = 'finance_data' AND pagetype = 'leaf'";
    let mut pages = rows.prepare(sql).unwrap();
    let pages = pages.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    let pages: Vec<_> = pages.map(|page| usize::try_from(page.unwrap()).unwrap()).collect();
    (pages[pages.len() / 2] - 1) * PAGE
}

#[test]
fn a_page_that_is_damaged_while_a_node_serves_is_told_and_no_row_of_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let db = stopped(dir.path());
    let at = leaf(&fs::read(&db).unwrap());
    // Not looked over at the start, and little remembered from one read to the next.
    let node = node::start(&db, &[("KAMAITACHI__DATABASE__START_CHECK", "0")]);
    let file = fs::OpenOptions::new().write(true).open(&db).unwrap();
    file.write_all_at(&[0x5a; PAGE], at as u64).unwrap();
    let mut met = 0;
    for subject in ["33:000001", "33:000002", "33:000003"] {
        for date in (1..1_500).step_by(20) {
            let answer = node::ask(&node, subject, date);
            if answer.status == 200 {
                let data = answer.data();
                assert_eq!(data[0]["data"]["operating_income"], date as f64, "{subject} {date}");
            } else {
                answer.refused(500, &["the database file of this node is damaged"]);
                met += 1;
            }
        }
    }
    assert!(met > 0, "no read met the page");
    // Out of traffic, and no more writes into a file that cannot be trusted.
    let ready = node.get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(node::check(&node, "store"), (false, "the file is damaged".to_owned()));
    node::ingest(&node, SUBJECT, 1..2).refused(500, &["damaged"]);
    node.tells_once("kamaitachi-node check");
    assert_eq!(node.metric("kamaitachi_node_panics_total"), 0.0);
    node.kill();
    refused(&db, "");
}

#[test]
fn a_log_that_is_damaged_never_gives_half_a_write_and_a_damaged_index_of_it_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    let [wal, shm] = ["node.db-wal", "node.db-shm"].map(|name| dir.path().join(name));
    let node = node::start(&db, &[]);
    for write in 0..20 {
        node::ingest(&node, SUBJECT, write * 10 + 1..write * 10 + 11).data();
    }
    node.kill();
    let (file, log) = (fs::read(&db).unwrap(), fs::read(&wal).unwrap());
    for at in (0..log.len()).step_by(log.len() / 8) {
        fs::write(&db, &file).unwrap();
        let mut damaged = log.clone();
        damaged[at] ^= 1;
        fs::write(&wal, damaged).unwrap();
        fs::write(&shm, [0xff; 32_768]).unwrap();
        let node = match node::try_start(node::command(&db, &[])) {
            Ok(node) => node,
            Err(ended) => {
                ended.error();
                continue;
            }
        };
        // SQLite's checksums end the log before the damage: whole writes from the first on.
        let records = node::records(&node).cast_signed();
        assert!(records % 10 == 0 && records <= 200, "{records}");
        if records > 0 {
            assert_eq!(node::income(&node, SUBJECT, 9_999), records as f64);
        }
    }
    fs::write(&db, &file).unwrap();
    fs::write(&wal, &log).unwrap();
    fs::write(&shm, [0xff; 32_768]).unwrap();
    let node = node::start(&db, &[]);
    assert_eq!(node::records(&node), 200, "a damaged -shm costs nothing");
    until("it is ready", || node.get("/readyz").status == 200);
}
