//! Ways to do a process harm that need the system's help: each tells when it can't be had.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{
    Process,
    process::{run, until},
};

/// Says, past the test runner, that a test shows nothing on this machine, and why.
pub(crate) fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    // Where nobody hears it there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Fails a test with the way to get a program that it needs.
fn need(program: &str, package: &str) {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    assert!(found, "{program} is missing: `make test` installs it, or `apt-get install {package}`");
}

/// System calls of a running process that fail or are slow, until it drops.
#[derive(Debug)]
pub(crate) struct Injected {
    strace: Child,
}

impl Injected {
    /// `calls` as strace names them, `what` such as `error=EIO`. `None` where processes may not be
    /// traced.
    pub(crate) fn into(process: &Process, calls: &str, what: &str) -> Option<Self> {
        need("strace", "strace");
        let (traced, inject) = (format!("trace={calls}"), format!("inject={calls}:{what}"));
        Self::attach(process, &["-e", &traced, "-e", &inject, "-o", "/dev/null"])
    }

    /// Writes every one of `calls` to `file`, with the names of files.
    pub(crate) fn record(process: &Process, calls: &str, file: &Path) -> Option<Self> {
        need("strace", "strace");
        Self::attach(process, &["-y", "-e", &format!("trace={calls}"), "-o", file.to_str()?])
    }

    fn attach(process: &Process, arguments: &[&str]) -> Option<Self> {
        let mut strace = Command::new("strace");
        let strace = strace.args(["-f", "-qq", "-p", &process.pid().to_string()]).args(arguments);
        let strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut this = Self { strace };
        let mut ended = false;
        until("strace has every thread, or may not", || {
            ended = this.strace.try_wait().unwrap().is_some();
            ended || traced(process.pid())
        });
        if ended {
            skipped("this machine lets nobody trace a process (ptrace)");
            return None;
        }
        Some(this)
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        // Asked to end, it lets the process go on unharmed.
        run("kill", &["-s", "TERM", &self.strace.id().to_string()]);
        let _ = self.strace.wait();
    }
}

/// Whether somebody traces every thread of a process.
fn traced(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid") && !line.ends_with("\t0"))
    })
}

/// A command that runs `program` with a file system of its own at `dir`, which goes with it:
/// `how` is a shell command that mounts it, with the directory in `$0`. `None` where that is not
/// allowed.
pub(crate) fn mounted(dir: &Path, how: &str, program: &str) -> Option<Command> {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(arguments).args(["--mount", "--propagation", "private"]);
        command
    };
    let script = format!("{how} && exec \"$@\"");
    for arguments in [&[][..], &["--map-root-user"]] {
        let mut tried = unshare(arguments);
        tried.args(["sh", "-c", how]).arg(dir).stderr(Stdio::null());
        if tried.status().is_ok_and(|status| status.success()) {
            let mut command = unshare(arguments);
            command.args(["sh", "-c", &script]).arg(dir).arg(program);
            return Some(command);
        }
    }
    skipped("this machine lets nobody mount a file system (unshare --mount)");
    None
}

/// A command that runs its arguments among the mounts of a process.
pub(crate) fn beside(process: &Process) -> Command {
    let target = process.pid().to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &target, "--mount"]);
    let users = |pid: &str| fs::read_to_string(format!("/proc/{pid}/uid_map")).ok();
    if users("self") != users(&target) {
        command.args(["--user", "--preserve-credentials"]);
    }
    command
}

/// Changes the file system that a process has mounted at `dir`.
pub(crate) fn remount(process: &Process, dir: &Path, options: &str) {
    let mut command = beside(process);
    command.args(["mount", "-o", &format!("remount,{options}")]).arg(dir);
    assert!(command.status().unwrap().success(), "{command:?}");
}
