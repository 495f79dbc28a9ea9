//! A node as a process, and what is written to it and asked of it.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::rig::{Answer, Process, process::Ended};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_kamaitachi-node");
pub(crate) const STATS: &str = "/kamaitachi/api/data/v1/stats";
const SNAPSHOT: &str = "/kamaitachi/api/data/v1/snapshot";
const INGEST: &str = "/kamaitachi/api/data/v1/ingest";

/// A node that is to be on `db`.
pub(crate) fn command(db: &Path, more: &[(&str, &str)]) -> Command {
    on(Command::new(PROGRAM), db, more)
}

/// The same where `command` runs the program that is its last argument.
pub(crate) fn on(mut command: Command, db: &Path, more: &[(&str, &str)]) -> Command {
    command.arg("--db").arg(db).env("KAMAITACHI__SERVER__PORT", "0");
    command.env("KAMAITACHI__CACHE__SNAPSHOT_INTERVAL", "0");
    command.envs(more.iter().copied());
    command
}

pub(crate) fn try_start(command: Command) -> Result<Process, Ended> {
    Process::start(command, "\"node serves\"", "address")
}

pub(crate) fn start(db: &Path, more: &[(&str, &str)]) -> Process {
    try_start(command(db, more)).unwrap()
}

/// Rows of `subject` at each of `dates`, whose income is the date.
pub(crate) fn ingest(node: &Process, subject: &str, dates: std::ops::Range<i64>) -> Answer {
    let row = |date: i64| {
        let row = json!({"subject": subject, "report_date": date,
            "data": {"operating_income": date}});
        format!("{row}\n")
    };
    let head = [("content-type", "application/x-ndjson")];
    node.post_with(INGEST, &head, &dates.map(row).collect::<String>())
}

/// The income of a subject at a date, read from the store where `date` was not asked before.
pub(crate) fn income(node: &Process, subject: &str, date: i64) -> Value {
    let answer = ask(node, subject, date);
    let data = answer.data();
    data[0]["data"]["operating_income"].clone()
}

pub(crate) fn ask(node: &Process, subject: &str, date: i64) -> Answer {
    let ask = json!({"subjects": subject, "ids": "operating_income", "timestamp": date});
    node.post(SNAPSHOT, &ask.to_string())
}

pub(crate) fn records(node: &Process) -> u64 {
    node.get(STATS).data()["total_records"].as_u64().unwrap()
}

/// A check of `/readyz` by its name: whether it is well, and what it says.
pub(crate) fn check(node: &Process, name: &str) -> (bool, String) {
    let ready = node.get("/readyz").json();
    let checks = ready["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    (check["ok"].as_bool().unwrap(), check["detail"].as_str().unwrap().to_owned())
}

/// What `kamaitachi-node` says to arguments, and how it ends.
pub(crate) fn tool(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}
