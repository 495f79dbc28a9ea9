//! A program of this workspace as a process.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::http::{self, Answer, PATIENCE};

/// A process that serves; killed when it drops.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// Everything it logged, as JSON lines.
    log: Arc<Mutex<Vec<String>>>,
}

/// How a process ended that was to serve.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: Vec<String>,
}

impl Ended {
    /// The one line in which it says why it failed.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        let errors: Vec<_> = self.said.iter().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!((self.code, errors.len()), (Some(1), 1), "{self:?}");
        assert_eq!(self.said.last(), errors.last().copied(), "nothing comes after it");
        errors[0]
    }
}

impl Process {
    /// Starts a program and waits until it logs a line that holds `serves`, of which `key` is the
    /// address; or until it ends.
    pub(crate) fn start(mut command: Command, serves: &str, key: &str) -> Result<Self, Ended> {
        command.env("KAMAITACHI__LOG__FORMAT", "json").env_remove("RUST_LOG").stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program can be run");
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (lines, to) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        let mut reader = Some(thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                to.lock().push(line);
            }
        }));
        let mut process = Self { child, addr: SocketAddr::from(([0; 4], 0)), log };
        let began = Instant::now();
        loop {
            let ended = process.child.try_wait().unwrap();
            if let Some(reader) = ended.and_then(|_| reader.take()) {
                reader.join().unwrap();
            }
            if let Some(line) = process.said().iter().find(|line| line.contains(serves)) {
                let event: Value = serde_json::from_str(line).unwrap();
                process.addr = event[key].as_str().unwrap().parse().unwrap();
                return Ok(process);
            }
            if let Some(status) = ended {
                return Err(Ended { code: status.code(), said: process.said() });
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it neither serves nor ends: {:#?}",
                process.said()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// How many lines of its log hold `words`.
    pub(crate) fn told(&self, words: &str) -> usize {
        self.said().iter().filter(|line| line.contains(words)).count()
    }

    /// Waits for a line that holds `words`; there may be no second.
    #[track_caller]
    pub(crate) fn tells_once(&self, words: &str) {
        until(words, || self.told(words) > 0);
        assert_eq!(self.told(words), 1, "{:?}", self.said());
    }

    pub(crate) fn signal(&self, signal: &str) {
        run("kill", &["-s", signal, &self.pid().to_string()]);
    }

    /// Whether it has ended.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn signal_and_end(self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.end()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A file as the process sees it, in its own namespace of mounts.
    pub(crate) fn sees(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.pid())).join(path)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, &[], body)
    }

    pub(crate) fn post_with(&self, path: &str, head: &[(&str, &str)], body: &str) -> Answer {
        self.ask("POST", path, head, body)
    }

    fn ask(&self, method: &str, path: &str, head: &[(&str, &str)], body: &str) -> Answer {
        let answer = http::ask(self.addr, method, path, head, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}: {:#?}", self.said()))
    }

    /// The value of a metric without labels, or with these words among them.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("there is no {name} in\n{text}"))
    }

    /// Time of the processor that it has had, in ticks of a hundredth of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// A line of `/proc/PID/status`, such as `VmRSS`, in KiB.
    pub(crate) fn status(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}"));
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {}: {told}", arguments.join(" "));
}

/// Waits until `holds`; `what` is for whoever reads that it never did.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
