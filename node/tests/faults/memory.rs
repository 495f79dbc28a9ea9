//! A node with less memory than its cache would like.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use rusqlite::Connection;
use serde_json::json;

use crate::{
    node,
    rig::{Answer, Process, inject::skipped, until},
};

const SUBJECTS: usize = 70;
/// Each has pages of its own in memory, which are not what this is about.
const READERS: (&str, &str) = ("KAMAITACHI__DATABASE__READERS", "1");
const LIMIT: u64 = 72 << 20;

/// A database that takes more memory than the limit when all of it is remembered: 70 subjects with
/// 1,500 rows of 40 values.
fn filled(dir: &Path) -> PathBuf {
    let db = dir.join("node.db");
    assert!(node::start(&db, &[]).signal_and_end("TERM").success());
    let file = Connection::open(&db).unwrap();
    let names: Vec<_> = (0..40).map(|n| format!("i{n}")).collect();
    for name in &names {
        file.execute_batch(&format!("ALTER TABLE finance_data ADD COLUMN {name} REAL")).unwrap();
    }
    let values: Vec<_> = (0..40).map(|n| format!("{n}.5 + date")).collect();
    let sql = format!(
        "WITH RECURSIVE dates(date) AS (SELECT 1 UNION ALL SELECT date + 1 FROM dates WHERE date < 1500), \
         codes(code) AS (SELECT 1 UNION ALL SELECT code + 1 FROM codes WHERE code < {SUBJECTS}) \
         INSERT INTO finance_data(stock_code, market_code, subject_key, report_date, {}) \
         SELECT code, '33', '33:' || code, date, {} FROM codes, dates",
        names.join(", "),
        values.join(", ")
    );
    file.execute_batch(&sql).unwrap();
    // To take in what others wrote takes memory of its own, once.
    assert!(node::start(&db, &[]).signal_and_end("TERM").success());
    db
}

/// Everything of one subject.
fn ask(node: &Process, subject: usize) -> Answer {
    let ids: Vec<_> = (0..40).map(|n| format!("i{n}")).collect();
    let ask =
        json!({"subjects": format!("33:{}", subject + 1), "ids": ids, "from": 1, "to": 1_500});
    node.post("/kamaitachi/api/data/v1/period", &ask.to_string())
}

/// Asks for all of it, once; tells how many were refused for want of memory, and the
/// most that the process held, in bytes.
fn press(node: &Process) -> (usize, u64) {
    let (mut refused, mut most) = (0, 0);
    for subject in 0..SUBJECTS {
        let answer = ask(node, subject);
        if answer.status == 200 {
            let rows = answer.data()[0]["data"].as_array().unwrap().len();
            assert_eq!(rows, 1_500);
        } else {
            answer.refused(503, &["short of memory"]);
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused += 1;
            thread::sleep(std::time::Duration::from_millis(50));
        }
        most = most.max(node.status("RssAnon") * 1024);
    }
    (refused, most)
}

/// A control group for memory with this limit, removed when it drops.
struct Group(PathBuf);

impl Group {
    fn new(limit: u64) -> Option<Self> {
        let name = format!("kamaitachi-test-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Path::new(root).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Self(group);
            if fs::write(group.0.join(file), limit.to_string()).is_ok() {
                return Some(group);
            }
        }
        skipped("this machine lets nobody make a control group with a limit on memory");
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty, once the last process in it is gone.
        until("the control group can be removed", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn near_its_limit_a_node_forgets_before_it_refuses_and_is_not_killed() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    // The kernel ends whoever holds more; without such a group the node is told the limit.
    let group = Group::new(LIMIT);
    let limit = if group.is_some() { "0".to_owned() } else { LIMIT.to_string() };
    let command = match &group {
        None => std::process::Command::new(node::PROGRAM),
        Some(group) => {
            let mut shell = std::process::Command::new("sh");
            let join = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
            shell.args(["-c", join]).arg(&group.0).arg(node::PROGRAM);
            shell
        }
    };
    let limits = [("KAMAITACHI__LIMITS__MEMORY", &*limit), READERS];
    let node = node::try_start(node::on(command, &db, &limits)).unwrap();
    assert_eq!(node.metric("kamaitachi_memory_limit_bytes"), LIMIT as f64);
    let (refused, most) = press(&node);
    assert!(node.told("\"pressure\":") >= 1, "it did not come near the limit: {most}");
    println!("{most} bytes held of {LIMIT}, {refused} of {SUBJECTS} requests refused");
    assert!(most < LIMIT + LIMIT / 4, "it held {most} bytes of {LIMIT}");
    assert!(refused < SUBJECTS / 2, "{refused} of {SUBJECTS} refused");
    until("the pressure is over", || node.metric("kamaitachi_memory_pressure") <= 1.0);
    assert_eq!(ask(&node, 0).status, 200);
    assert_eq!(node.get("/readyz").status, 200);
    node.kill();
}
