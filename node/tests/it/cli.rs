//! `kamaitachi-node cli` as a process, against a group of three.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kamaitachi_discovery::NodeAddr;
use kamaitachi_node::group::{
    Bound, Group, GroupServer, PeerOptions, PeerState, Peers, ServerOptions,
};
use tokio::{sync::watch, task::spawn_blocking};

struct Peer {
    addr: NodeAddr,
    peers: Peers,
    group: Group<Bytes>,
    _server: GroupServer,
    _members: watch::Sender<Arc<[NodeAddr]>>,
}

async fn three() -> Vec<Peer> {
    let mut bounds = Vec::new();
    for _ in 0..3 {
        bounds.push(Bound::bind("127.0.0.1:0".parse().unwrap()).await.unwrap());
    }
    let addrs: Vec<NodeAddr> =
        bounds.iter().map(|bound| bound.local_addr().to_string().parse().unwrap()).collect();
    let mut all = Vec::new();
    for (bound, addr) in bounds.into_iter().zip(&addrs) {
        let (members, seen) = watch::channel(addrs.clone().into());
        let options =
            PeerOptions { ping_interval: Duration::from_millis(50), ..PeerOptions::default() };
        let peers = Peers::new(addr.as_str(), seen, options).unwrap();
        let group = Group::bytes("prices").peers(&peers).build();
        let server = GroupServer::start(bound, &peers, ServerOptions::default()).await.unwrap();
        all.push(Peer { addr: addr.clone(), peers, group, _server: server, _members: members });
    }
    for peer in &all {
        while peer.peers.others().iter().any(|other| other.state != PeerState::Alive) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    all
}

/// Runs `cli` with these words and this standard input; its exit code, output and complaints.
pub(crate) async fn cli(words: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kamaitachi-node"));
    command.arg("cli").args(words).env_remove("KAMAITACHI_GROUP_TOKEN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let output = spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // Whoever does not read its input is not to be waited for.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_shot_commands_answer_with_values_and_exit_codes() {
    let peers = three().await;
    let at = peers[0].addr.as_str();
    let ok = |out: &str| (0, out.to_owned(), String::new());
    assert_eq!(cli(&[at, "set", "33:000001", "a value", "--wait", "all"], "").await, ok("ok\n"));
    for peer in &peers {
        assert_eq!(cli(&[peer.addr.as_str(), "get", "33:000001"], "").await, ok("a value\n"));
    }
    assert_eq!(cli(&[at, "set", "piped", "-", "--ttl", "1h"], "from\0stdin").await, ok("ok\n"));
    let held = peers[0].group.get("piped").await.unwrap();
    assert_eq!(held.as_deref(), Some(&b"from\0stdin"[..]));
    assert_eq!(cli(&[at, "keys"], "").await, ok("33:000001\npiped\n"));
    assert_eq!(cli(&[at, "keys", "33:"], "").await, ok("33:000001\n"));
    let (code, out, _) = cli(&[at, "ttl", "piped"], "").await;
    assert!(code == 0 && (out.starts_with("59m") || out == "1h\n"), "{out}");
    assert_eq!(cli(&[at, "del", "piped", "--wait", "all"], "").await, ok("1\n"));
    let (code, out, err) = cli(&[at, "get", "330001"], "").await;
    assert_eq!((code, &*out), (1, ""));
    assert_eq!(err, "error: no such key: 330001; nearest: 33:000001\n");
    let (code, _, err) = cli(&[at, "clear"], "").await;
    assert!(code == 2 && err.contains("--yes"), "{err}");
    assert_eq!(cli(&[at, "clear", "--yes", "--wait", "all"], "").await, ok("ok\n"));
    assert_eq!(cli(&[at, "keys"], "").await, ok(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_of_many_keys_tells_whose_each_value_is_and_which_are_missing() {
    let peers = three().await;
    let at = peers[0].addr.as_str();
    for (key, value) in [("a", "1"), ("b", "two words"), ("c", "two\nlines\t\\")] {
        cli(&[at, "set", key, value, "--wait", "all"], "").await;
    }
    let both = cli(&[at, "get", "b", "a"], "").await;
    assert_eq!(both, (0, "b\ttwo words\na\t1\n".to_owned(), String::new()));
    let (code, out, err) = cli(&[at, "get", "a", "missing", "c", "gone"], "").await;
    assert_eq!((code, &*out), (1, "a\t1\nc\ttwo\\nlines\\t\\\\\n"));
    assert_eq!(err, "error: no such key: missing gone\n");
    let (code, out, err) = cli(&[at, "get", "missing", "gone"], "").await;
    assert_eq!((code, &*out, &*err), (1, "", "error: no such key: missing gone\n"));
    assert_eq!(cli(&[at, "get", "c"], "").await.1, "two\nlines\t\\\n", "one as it is");
    let (code, out, err) = cli(&[at, "--json", "get", "a", "missing"], "").await;
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &*err), (1, "error: no such key: missing\n"));
    assert_eq!(
        (&said[0]["key"], &said[0]["value"], &said[1]),
        (&"a".into(), &"1".into(), &().into())
    );
    let (code, out, _) = cli(&[at, "--json"], "get a missing\n").await;
    let said: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &said[0][0]["value"]), (1, &"1".into()));
    assert_eq!(said[1]["error"], "no such key: missing");
    let (code, out, err) = cli(&[at], "get a missing\nget b\n").await;
    assert_eq!((code, &*out), (1, "a\t1\ntwo words\n"));
    assert!(err.contains("no such key: missing") && err.contains("1 of 2 commands"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_key_is_and_who_holds_it() {
    let peers = three().await;
    let at = peers[1].addr.as_str();
    cli(&[at, "set", "k", "v", "--wait", "all"], "").await;
    let (code, owner, _) = cli(&[at, "owner", "k"], "").await;
    assert!(code == 0 && peers.iter().any(|peer| peer.addr.as_str() == owner.trim()), "{owner}");
    let (code, out, _) = cli(&[at, "--json", "where", "k"], "").await;
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    let places = said["peers"].as_array().unwrap();
    assert_eq!((code, places.len()), (0, 3), "{said}");
    assert_eq!(places[0]["addr"], owner.trim());
    assert!(places.iter().all(|place| place["found"] == true), "{said}");
    let (_, out, _) = cli(&[at, "--json", "peers"], "").await;
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((said["self"].as_str(), said["peers"].as_array().unwrap().len()), (Some(at), 3));
    let (code, out, _) = cli(&[at, "stats"], "").await;
    assert!(code == 0 && out.contains("prices at") && out.contains("hit rate"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_done_to_its_end_and_tells_what_failed() {
    let peers = three().await;
    let at = peers[2].addr.as_str();
    let lines = "# a comment\nset a 1\n\nget a\ngte a\nget b\nuse nowhere\nset 'b c' \"two words\"\nget 'b c'\nquit\nget a\n";
    let (code, out, err) = cli(&[at], lines).await;
    assert_eq!((code, &*out), (1, "ok\n1\nok\ntwo words\n"));
    let complaints: Vec<_> = err.lines().collect();
    assert_eq!(complaints.len(), 4, "{err}");
    assert!(complaints[0].contains("'gte'") && complaints[1].contains("no such key: b"), "{err}");
    assert!(complaints[2].contains("no group `nowhere`; it has: prices"), "{err}");
    assert!(complaints[3].contains("3 of 7 commands failed"), "{err}");
    let (code, out, _) = cli(&[at, "--json"], "set x 1\nget x\nget y\n").await;
    let said: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, said.len()), (1, 3), "{out}");
    assert_eq!((&said[1][0]["value"], &said[2]["error"]), (&"1".into(), &"no such key: y".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_changes_of_its_keys_as_they_happen() {
    let peers = three().await;
    let at = peers[0].addr.to_string();
    let watching = tokio::spawn(async move {
        cli(&[&at, "--json", "watch", "w:", "--values", "--count", "2"], "").await
    });
    // The watch is there when it has told of the first change; the others are made until then.
    let mut turn = 0;
    while !watching.is_finished() {
        turn += 1;
        let (mine, other) = (format!("w:{turn}"), format!("v:{turn}"));
        for (key, peer) in [(other, &peers[0]), (mine, &peers[1])] {
            peer.group.set(&key, Bytes::from_static(b"new")).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (code, out, err) = watching.await.unwrap();
    assert_eq!((code, &*err), (0, ""));
    for line in out.lines() {
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(said["key"].as_str().unwrap().starts_with("w:"), "{out}");
        assert_eq!((&said["change"], &said["value"]), (&"set".into(), &"new".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_is_named_with_the_cause() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap().to_string();
    drop(free);
    let (code, _, err) = cli(&[&addr, "get", "x"], "").await;
    assert_eq!(code, 1);
    assert!(
        err.starts_with(&format!("error: {addr} does not answer: Connection refused")),
        "{err}"
    );
    let (code, _, err) = cli(&["nonsense"], "").await;
    assert!(code == 2 && err.contains("HOST:PORT") && err.lines().count() == 1, "{err}");
}
