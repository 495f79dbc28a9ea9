//! A node that gets little of the processor.

use std::{
    fs, path::PathBuf, process::Command, sync::atomic::Ordering::Relaxed, thread, time::Duration,
};

use kamaitachi_discovery::testing::Etcd;

use crate::{
    cluster::{self, under_load},
    rig::{Process, until},
};

/// A fifth of one processor for a process, as long as this lives.
enum Starved<'a> {
    /// By a control group with a quota.
    Group(PathBuf, &'a Process),
    /// By being stopped and let go on in turn, by a shell.
    Stopped(std::process::Child, &'a Process),
}

impl<'a> Starved<'a> {
    fn new(process: &'a Process) -> Self {
        let pid = process.pid().to_string();
        let name = format!("kamaitachi-starved-{pid}");
        for (root, file, quota) in [
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "20000"),
            ("/sys/fs/cgroup", "cpu.max", "20000 100000"),
        ] {
            let group = PathBuf::from(root).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let held = fs::write(group.join(file), quota)
                .and_then(|()| fs::write(group.join("cgroup.procs"), &pid));
            if held.is_ok() {
                println!("held by {}", group.display());
                return Self::Group(group, process);
            }
            let _ = fs::remove_dir(&group);
        }
        let script = "while kill -STOP $0; do sleep 0.08; kill -CONT $0; sleep 0.02; done";
        let shell = Command::new("sh").args(["-c", script, &pid]).spawn().unwrap();
        println!("held by SIGSTOP and SIGCONT in turn");
        Self::Stopped(shell, process)
    }
}

impl Drop for Starved<'_> {
    fn drop(&mut self) {
        match self {
            Self::Group(group, process) => {
                let parent = group.parent().unwrap().join("cgroup.procs");
                let _ = fs::write(parent, process.pid().to_string());
                until("the control group can be removed", || fs::remove_dir(&*group).is_ok());
            }
            Self::Stopped(shell, process) => {
                let _ = shell.kill();
                let _ = shell.wait();
                process.signal("CONT");
            }
        }
    }
}

#[test]
fn a_node_without_processor_keeps_its_lease_and_costs_no_reader_an_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let etcd = runtime.block_on(Etcd::start());
    let dir = tempfile::tempdir().unwrap();
    let endpoint = etcd.endpoint();
    let found = [("KAMAITACHI__ETCD__ENDPOINTS", &*endpoint), ("KAMAITACHI__ETCD__TTL", "3")];
    let node = |n: u8| {
        let mut command = Command::new(cluster::node_program());
        command.envs(found);
        cluster::node(command, &dir.path().join(format!("{n}.db")), "127.0.0.1", 0)
    };
    let nodes = [node(1), node(2)];
    let mut command = Command::new(cluster::GATEWAY);
    command.envs(found).env("KAMAITACHI__DISCOVERY__CACHE", "");
    let gateway = cluster::gateway(command, &[], &[]);
    let count = || gateway.get("/health").json()["count"].clone();
    until("both nodes are found", || count() == 2);
    under_load(gateway.addr, |met| met.more(300));

    let starved = Starved::new(&nodes[1]);
    let met = under_load(gateway.addr, |met| {
        // Longer than its lease lives.
        for _ in 0..70 {
            thread::sleep(Duration::from_millis(100));
            assert_eq!(count(), 2, "it stays on the ring");
        }
        met.more(300);
    });
    drop(starved);
    let registered = nodes[1].metric("kamaitachi_node_registrations_total");
    println!(
        "{} of {} reads failed, {} ms in the middle, 99 of 100 within {} ms; registered {registered} time(s)",
        met.failed(),
        met.asked.load(Relaxed),
        met.percentile(50),
        met.percentile(99)
    );
    assert_eq!(met.failed(), 0);
    assert_eq!(registered, 1.0, "its lease was never lost");
}
