//! Who may talk to a group: those with the right certificates, those with the token.

use std::{process::Command, time::Duration};

use kamaitachi_discovery::testing::{Authority, Etcd, Pair};
use kamaitachi_node::group::{
    PeerState, SetOptions, Wait,
    config::Config,
    process::{Process, examine},
};
use kamaitachi_serve::config::Env;

use crate::cli::cli;

fn config(pairs: &[(&str, &str)]) -> Config {
    let own = [("SERVER__PORT", "0"), ("ADMIN__ENABLED", "false"), ("PEERS__PING_INTERVAL", "50")];
    let all = own.iter().chain(pairs).map(|(key, value)| (format!("KAMAITACHI__{key}"), *value));
    Config::load(None, &Env::from_pairs(all)).map_err(|error| error.report()).unwrap()
}

/// The keys that tell a server of certificates: its own, and who signs the others'.
fn with(etcd: &Etcd, ca: &Authority, own: &Pair) -> Vec<(&'static str, String)> {
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    vec![
        ("ETCD__ENDPOINTS", etcd.endpoint()),
        ("SECURITY__CA", path(&ca.ca())),
        ("SECURITY__CERT", path(&own.cert)),
        ("SECURITY__KEY", path(&own.key)),
    ]
}

async fn server(keys: &[(&'static str, String)]) -> Process {
    let pairs: Vec<_> = keys.iter().map(|(key, value)| (*key, &**value)).collect();
    Process::start(config(&pairs)).await.unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Words for the command line: which authority it trusts, and what it shows.
fn shows(ca: &Authority, own: Option<&Pair>) -> Vec<String> {
    let mut words = vec!["--ca".to_owned(), ca.ca().display().to_string()];
    if let Some(own) = own {
        for (name, file) in [("--cert", &own.cert), ("--key", &own.key)] {
            words.extend([name.to_owned(), file.display().to_string()]);
        }
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_certificates_open_a_group_and_others_are_told_why() {
    let (etcd, ours, theirs) = (Etcd::start().await, Authority::new(), Authority::new());
    let keys = with(&etcd, &ours, &ours.server(&["127.0.0.1"]));
    let (first, second) = (server(&keys).await, server(&keys).await);
    until("they see each other", || {
        let alive = |one: &Process| {
            let others = one.peers().others();
            others.len() == 1 && others[0].state == PeerState::Alive
        };
        alive(&first) && alive(&second)
    })
    .await;
    let everywhere = SetOptions { ttl: None, wait: Wait::All };
    let written = first.groups()[0].set_with("k", "v".into(), everywhere).await.unwrap();
    assert_eq!((written.asked, written.acknowledged), (1, 1));

    let addr = second.local_addr().to_string();
    let ask = async |words: Vec<String>| {
        let mut all = vec![&*addr];
        all.extend(words.iter().map(String::as_str));
        all.extend(["get", "k"]);
        cli(&all, "").await
    };
    let (own, foreign) = (ours.client(), theirs.client());
    assert_eq!(ask(shows(&ours, Some(&own))).await, (0, "v\n".into(), String::new()));
    for (words, cause) in [
        (shows(&ours, None), "certificate"),
        (shows(&ours, Some(&foreign)), "certificate"),
        (shows(&theirs, Some(&own)), "invalid peer certificate"),
        (vec![], "does not answer"),
    ] {
        let (code, out, err) = ask(words.clone()).await;
        println!("{words:?}: {err}");
        assert_eq!((code, &*out), (1, ""), "{words:?}");
        assert!(err.to_lowercase().contains(&cause.to_lowercase()), "{words:?}: {err}");
    }

    // A peer of strangers registers, is not believed, and says why.
    let keys = with(&etcd, &theirs, &theirs.server(&["127.0.0.1"]));
    let stranger = server(&keys).await;
    until("they see the stranger", || first.peers().others().len() == 2).await;
    until("it is left alone, and leaves them alone", || {
        let out = |one: &Process| {
            one.peers().others().iter().filter(|peer| peer.state == PeerState::Ejected).count()
        };
        out(&first) == 1 && out(&stranger) == 2
    })
    .await;
    let why = stranger.peers().others()[0].last_error.clone().unwrap();
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(stranger.groups()[0].get("k").await.unwrap(), None);
    let pairs: Vec<_> = keys.iter().map(|(key, value)| (*key, &**value)).collect();
    let findings = examine(&config(&pairs)).await;
    assert!(
        findings.iter().any(|finding| !finding.good && finding.said.contains("certificate")),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_token_is_told_so() {
    let server = server(&[("SECURITY__TOKEN", "secret".to_owned())]).await;
    let addr = server.local_addr().to_string();
    let (code, _, err) = cli(&[&addr, "--token", "wrong", "get", "k"], "").await;
    assert!(code == 1 && err.contains("the token is not the group's"), "{err}");
    let (code, _, err) = cli(&[&addr, "get", "k"], "").await;
    assert!(code == 1 && err.contains("--token"), "{err}");
    let (code, out, err) = cli(&[&addr, "--token", "secret", "set", "k", "v"], "").await;
    assert_eq!((code, &*out), (0, "ok\n"), "{err}");
}

#[test]
fn a_server_that_others_can_reach_does_not_start_without_token_or_certificates() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kamaitachi-node"));
    command.arg("group").env("KAMAITACHI__SERVER__HOST", "0.0.0.0");
    command.env("KAMAITACHI__SERVER__SERVICE_ADDR", "10.0.0.1:8001");
    let ended = command.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    for words in ["server.host", "security.token", "security.ca"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}
