//! The program: its command line, its exit codes, its signals.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use http::Method;

use crate::harness::{Node, request, send};

fn gateway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kamaitachi-gateway"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = gateway(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn written(dir: &Path, text: &str) -> String {
    let file = dir.join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn check_says_that_a_good_file_is_good() {
    for name in ["gateway.toml", "gateway.ini"] {
        let file = format!("{}/../conf/{name}", env!("CARGO_MANIFEST_DIR"));
        for arguments in [["check", "--config", &file], ["check", "-config", &file]] {
            let (code, out, err) = run(&arguments);
            assert_eq!((code, &*err), (0, ""), "{name}");
            assert!(out.ends_with(": ok, 11 routes, 2 nodes\n"), "{out}");
        }
    }
}

#[test]
fn check_prints_every_mistake_on_a_line_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(
        dir.path(),
        "[server]\nprot = 1\nport = 70000\n[etcd]\nendpoints = 'etcd'\n[routes.period]\nrate = 0\nburst = 'x'\n",
    );
    let (code, out, err) = run(&["check", "--config", &file]);
    assert_eq!((code, &*out), (2, ""));
    for said in [
        "`server.port`: expected an integer from 0 to 65535, found 70000",
        "unknown key `server.prot`; did you mean `server.port`?",
        "`etcd.endpoints[0]`: expected HOST:PORT or a URL",
        "`routes.period.burst`: expected an integer",
    ] {
        let line = format!("{file}: {said}");
        assert!(err.lines().any(|known| known.contains(&line)), "{line}\nis not in\n{err}");
    }
    assert_eq!(err.lines().count(), 4, "{err}");
}

#[test]
fn to_start_with_a_bad_configuration_is_one_line_and_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "[server]\nport = 70000\n");
    for (arguments, said) in [
        (vec!["--config", &*file], "`server.port`: expected an integer from 0 to 65535"),
        (vec!["--config", "/not/there.toml"], "/not/there.toml: cannot read"),
        (vec!["-config", "/not/there.toml"], "/not/there.toml: cannot read"),
    ] {
        let (code, _, err) = run(&arguments);
        assert_eq!((code, err.lines().count()), (2, 1), "{err}");
        assert!(err.contains(said), "{err}");
    }
    assert_eq!(run(&["--nonsense"]).0, 2);
    assert_eq!(run(&["nonsense"]).0, 2);
}

#[test]
fn version_help_and_completions_end_well() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, &*out), (0, "kamaitachi-gateway 0.1.0\n"));
    let (code, out, _) = run(&["--help"]);
    assert!(code == 0 && out.contains("--config") && out.contains("check"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert!(code == 0 && out.contains("kamaitachi-gateway"), "{shell}");
    }
}

/// A gateway process, and the address that it says it serves at.
fn started(file: &str) -> (Child, std::net::SocketAddr) {
    let mut child = gateway(&["--config", file]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let serving = lines.find(|line| line.contains("\"serving\"")).expect("it says that it serves");
    let said: serde_json::Value = serde_json::from_str(&serving).unwrap();
    // Whoever no longer listens would stop it at its next line.
    std::thread::spawn(move || lines.count());
    (child, said["public"].as_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn the_process_serves_until_a_signal_and_ends_with_0() {
    let node = Node::start().await;
    let dir = tempfile::tempdir().unwrap();
    let text =
        format!("[server]\nport = 0\n[admin]\nport = 0\n[upstream]\nnodes = '{}'\n", node.addr);
    let file = written(dir.path(), &text);
    for signal in ["TERM", "INT"] {
        let (mut child, addr) = started(&file);
        let answer = send(addr, request(Method::POST, "/data/x", "{}")).await;
        assert_eq!(answer.text(), "ok");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "SIG{signal}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_and_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), &format!("[server]\nport = {}\n", taken.port()));
    let (code, _, err) = run(&["--config", &file]);
    assert_eq!(code, 1);
    assert!(err.contains(&format!("cannot listen on {taken}")), "{err}");
}

/// What the process tells its service manager next, as lines.
fn told(socket: &std::os::unix::net::UnixDatagram) -> String {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).expect("the process says something within the time-out");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn the_service_manager_hears_ready_then_alive_then_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "[server]\nport = 0\n[admin]\nport = 0\n");
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut child = gateway(&["--config", &file])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "50000")
        .env_remove("WATCHDOG_PID")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = told(&socket);
    assert!(ready.starts_with("READY=1\nSTATUS=serving on 127.0.0.1:"), "{ready}");
    assert_eq!([told(&socket), told(&socket)], ["WATCHDOG=1\n", "WATCHDOG=1\n"]);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let stopping = loop {
        match told(&socket) {
            alive if alive == "WATCHDOG=1\n" => {}
            other => break other,
        }
    };
    assert!(stopping.starts_with("STOPPING=1\n"), "{stopping}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
