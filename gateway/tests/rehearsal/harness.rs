//! The load harness as a process, at a steady rate, with every answer checked and noted.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    rig::{Process, until},
    stage::{Stage, number, program},
    table::Answered,
};

/// A load that goes on.
pub(crate) struct Load {
    child: Child,
    noted: PathBuf,
}

impl Load {
    /// Starts it, and waits until there are answers.
    pub(crate) fn start(stage: &Stage, gateway: &Process, time: Duration) -> Self {
        let noted = stage.dir.path().join("answers.txt");
        let rate = number("KAMAITACHI_RATE", 300).to_string();
        let mut command = Command::new(program("kamaitachi-loadtest"));
        command.args(["--target", &format!("http://{}/data", gateway.addr), "--rate", &rate]);
        command.args(["--duration", &format!("{}s", time.as_secs()), "--verify", "--db"]);
        command.arg(stage.db()).args(["--scenario", "3", "--warmup", "2000", "--answers"]);
        command.arg(&noted).stdout(Stdio::null()).stderr(Stdio::null());
        let load = Self { child: command.spawn().unwrap(), noted };
        until("the load has begun", || std::fs::metadata(&load.noted).is_ok_and(|m| m.len() > 0));
        load
    }

    /// Waits for its end; every answer.
    pub(crate) fn end(mut self) -> Vec<Answered> {
        let status = self.child.wait().unwrap();
        let text = std::fs::read_to_string(&self.noted).unwrap();
        let answers: Vec<_> = text.lines().map(answered).collect();
        // It says so itself when any answer was wrong or failed.
        let well = answers.iter().all(|answer| answer.failed.is_none());
        assert_eq!(status.success(), well, "{status}");
        answers
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answered(line: &str) -> Answered {
    let words: Vec<_> = line.splitn(3, ' ').collect();
    let [ended, took] = [0, 1].map(|at| words[at].parse::<u64>().unwrap());
    let failed = (words[2] != "right").then(|| words[2].to_owned());
    Answered { at: ended - took / 1_000, took, failed, hit: None }
}
