//! Other processes on the node's file: a second node, tools, and one that holds a lock.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use rusqlite::Connection;

use crate::{node, rig::until};

const SUBJECT: &str = "33:000001";

#[test]
fn a_second_node_on_a_database_is_refused_until_the_first_is_gone_however_it_went() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    let link = dir.path().join("link.db");
    let first = node::start(&db, &[]);
    std::os::unix::fs::symlink(&db, &link).unwrap();
    for name in [&db, &link] {
        let ended = node::try_start(node::command(name, &[])).unwrap_err();
        for words in ["in use by another node", &format!("process {}", first.pid()), "db.lock"] {
            assert!(ended.error().contains(words), "{words} is not in {ended:?}");
        }
    }
    node::ingest(&first, SUBJECT, 1..10).data();
    first.kill();
    let second = node::start(&db, &[]);
    assert_eq!(node::records(&second), 9);
}

#[test]
fn tools_and_shells_use_a_file_that_a_node_has_open() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    let node = node::start(&db, &[]);
    node::ingest(&node, SUBJECT, 1..10).data();
    assert_eq!(node::income(&node, SUBJECT, 99), 9.0);
    let rows = dir.path().join("rows.csv");
    std::fs::write(&rows, format!("subject,report_date,operating_income\n{SUBJECT},50,50\n"))
        .unwrap();
    let [db, rows] = [&db, &rows].map(|path| path.to_str().unwrap());
    let (code, text) = node::tool(&["import", "--db", db, "--from", rows]);
    assert_eq!(code, Some(0), "{text}");
    until("the node has taken in what was imported", || node::income(&node, SUBJECT, 99) == 50.0);
    let shell = Connection::open(db).unwrap();
    shell
        .execute("UPDATE finance_data SET operating_income = 7 WHERE report_date = 50", [])
        .unwrap();
    until("the node has taken in what a shell wrote", || node::income(&node, SUBJECT, 99) == 7.0);
    let (code, text) = node::tool(&["check", "--db", db]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_file_that_another_process_keeps_locked_holds_up_writes_alone_and_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    let node = node::start(&db, &[]);
    node::ingest(&node, SUBJECT, 1..100).data();
    let other = Connection::open(&db).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answered = AtomicBool::new(false);
    thread::scope(|scope| {
        let writes: Vec<_> = (0..20)
            .map(|n| {
                let (node, answered) = (&node, &answered);
                scope.spawn(move || {
                    let answer = node::ingest(node, SUBJECT, 200 + n..201 + n);
                    answered.store(true, SeqCst);
                    answer
                })
            })
            .collect();
        for date in 1..11 {
            assert_eq!(node::income(&node, SUBJECT, date), date as f64);
        }
        assert!(!answered.load(SeqCst), "the reads were first");
        for write in writes {
            let answer = write.join().unwrap();
            answer.refused(503, &["locked by another process"]);
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    });
    other.execute_batch("ROLLBACK").unwrap();
    node::ingest(&node, SUBJECT, 200..201).data();
    assert_eq!(node::records(&node), 100);
}
