//! A network of its own for a test: namespaces without a name that end with it, and a pair of
//! virtual cables between them. A cable is cut by a wrong neighbour's address: what is sent then is
//! delivered to nobody, and nobody is told.

use std::process::{Child, Command, Stdio};

use crate::rig::{inject::skipped, process::run, until};

/// The near end of the cable.
pub(crate) const HERE: &str = "10.9.0.1";
/// The far end.
pub(crate) const FAR: &str = "10.9.0.2";

/// Runs a test of this program, one that is ignored otherwise, in a network of its own.
pub(crate) fn alone(test: &str) {
    for arguments in [&["--net"][..], &["--net", "--map-root-user"]] {
        let mut tried = Command::new("unshare");
        tried.args(arguments).args(["ip", "link", "set", "lo", "up"]).stderr(Stdio::null());
        if !tried.status().is_ok_and(|status| status.success()) {
            continue;
        }
        let ran = Command::new("unshare")
            .args(arguments)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && told.contains("1 passed"), "{told}");
        print!("{told}");
        return;
    }
    skipped("this machine lets nobody make a network namespace (unshare --net, ip)");
}

/// The far end of the cable: a namespace that lives as long as this.
pub(crate) struct Far(Child);

impl Far {
    pub(crate) fn new() -> Self {
        run("ip", &["link", "set", "lo", "up"]);
        let holder = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let far = Self(holder);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        until("the far namespace is there", || {
            std::fs::read_link(format!("/proc/{}/ns/net", far.0.id())).is_ok_and(|net| net != own)
        });
        let id = far.0.id().to_string();
        run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &id]);
        run("ip", &["address", "add", &format!("{HERE}/30"), "dev", "near"]);
        run("ip", &["link", "set", "near", "up"]);
        far.ip(&["address", "add", &format!("{FAR}/30"), "dev", "far"]);
        far.ip(&["link", "set", "far", "up"]);
        far.ip(&["link", "set", "lo", "up"]);
        far
    }

    /// A command that runs its arguments there.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.id().to_string(), "--net"]);
        command
    }

    fn ip(&self, arguments: &[&str]) {
        assert!(self.command().arg("ip").args(arguments).status().unwrap().success());
    }

    /// From now on what is sent there is lost.
    pub(crate) fn lose_what_goes_there() {
        let nobody = "02:00:00:00:00:99";
        run(
            "ip",
            &["neighbour", "replace", FAR, "lladdr", nobody, "dev", "near", "nud", "permanent"],
        );
    }

    /// From now on what it sends is lost.
    pub(crate) fn lose_what_comes(&self) {
        let nobody = "02:00:00:00:00:99";
        self.ip(&[
            "neighbour",
            "replace",
            HERE,
            "lladdr",
            nobody,
            "dev",
            "far",
            "nud",
            "permanent",
        ]);
    }

    /// All arrives again.
    pub(crate) fn heal(&self) {
        // Whatever was not cut has nothing to be healed.
        let _ = Command::new("ip").args(["neighbour", "delete", FAR, "dev", "near"]).output();
        let _ = self.command().args(["ip", "neighbour", "delete", HERE, "dev", "far"]).output();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
