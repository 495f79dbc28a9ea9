use std::collections::BTreeSet;

use super::*;

fn read(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("group.toml");
    std::fs::write(&file, text).unwrap();
    let env = Env::from_pairs([("GROUP_TOKEN", "secret")]);
    Config::load(Some(&file), &env).map_err(|error| error.report())
}

#[test]
fn the_files_in_conf_hold_every_key_with_its_default() {
    let known = serde_json::to_value(raw::Raw::default()).unwrap();
    let sections = known.as_object().unwrap().iter();
    let known: BTreeSet<String> = sections
        .flat_map(|(section, keys)| {
            keys.as_object().unwrap().keys().map(move |key| format!("{section}.{key}"))
        })
        .collect();
    let defaults = Config::load(None, &Env::default()).unwrap();
    for name in ["group.toml", "group.ini"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf").join(name);
        let given = Config::load(Some(&file), &Env::default());
        let given = given.map_err(|error| error.report()).unwrap();
        assert_eq!(format!("{given:?}"), format!("{defaults:?}"), "{name}");
        let (mut section, mut written) = (String::new(), BTreeSet::new());
        for line in std::fs::read_to_string(file).unwrap().lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.split_once(" =") {
                written.insert(format!("{section}.{}", key.trim_start_matches(['#', ';', ' '])));
            }
        }
        assert_eq!(written, known, "{name}");
    }
}

/// One bad value for every rule.
const BAD: &str = r#"
        [server]
        host = "nowhere"
        service_name = "a b"
        service_addr = "http://x"
        workers = 5000
        prot = 1
        [admin]
        host = "there"
        [group]
        names = ["a", "a"]
        max_bytes = 1
        ttl = 0
        jitter = 2.0
        hot_rate = 0
        hot_ttl = 0
        tombstones = 0
        tombstone_ttl = 0
        max_skew = 0
        [sync]
        strategy = "gossip"
        peers = "nowhere"
        shards = ["nowhere"]
        timeout = 0
        back_off = 0
        back_off_most = 0
        batch = 0
        queue_entries = 0
        queue_bytes = 1
        [peers]
        nodes = "nowhere"
        allowed_cidrs = "everywhere"
        replicas = 0
        connect_timeout = 0
        get_timeout = 0
        ping_interval = 0
        eject_after = 0
        keep_alive = 0
        keep_alive_timeout = 0
        [etcd]
        endpoints = "ftp://x"
        prefix = "services"
        ttl = 0
        user = "me"
        cert = "x"
        [security]
        token = "env:NOT_SET"
        ca = "x"
        cert = "x"
        [log]
        level = "info,hyper=loud"
        "#;

#[test]
fn one_run_names_every_mistake_with_its_key() {
    let report = read(BAD).unwrap_err();
    let keys = "server.host server.service_name server.service_addr server.workers server.prot \
                admin.host group.names group.max_bytes group.ttl group.jitter group.hot_rate \
                group.hot_ttl group.tombstones group.tombstone_ttl group.max_skew sync.strategy \
                sync.peers sync.shards sync.timeout sync.back_off sync.back_off_most sync.batch \
                sync.queue_entries sync.queue_bytes peers.nodes peers.allowed_cidrs \
                peers.replicas peers.connect_timeout peers.get_timeout peers.ping_interval \
                peers.eject_after peers.keep_alive peers.keep_alive_timeout etcd.endpoints \
                etcd.prefix etcd.ttl etcd.password etcd.key security.token security.ca \
                security.key log.level";
    for key in keys.split_whitespace() {
        assert!(report.contains(&format!("`{key}`")), "{key} is not in\n{report}");
    }
}

#[test]
fn beyond_loopback_callers_must_be_known() {
    let open = "[server]\nhost = '0.0.0.0'\nservice_addr = '10.0.0.1:8001'\n";
    let report = read(open).unwrap_err();
    assert!(report.contains("`server.host`") && report.contains("security.token"), "{report}");
    let closed = read(&format!("{open}[security]\ntoken = 'env:GROUP_TOKEN'")).unwrap();
    assert!(!format!("{closed:?}").contains("secret"));
    read(&format!("{open}[security]\nca = 'a'\ncert = 'b'\nkey = 'c'")).unwrap();
    let nameless = "[server]\nhost = '0.0.0.0'\n[security]\ntoken = 'env:GROUP_TOKEN'";
    assert!(read(nameless).unwrap_err().contains("`server.service_addr`"));
}

#[test]
fn strategies_are_chosen_by_name() {
    let of = |text: &str| format!("{:?}", read(&format!("[sync]\n{text}")).unwrap().strategy);
    assert_eq!(of("strategy = 'broadcast'"), "Broadcast");
    assert_eq!(of("strategy = 'peers'\nsuccessors = 2"), "Successors(2)");
    assert!(of("strategy = 'peers'\npeers = 'a:1,b:2'").starts_with("Named"));
    assert!(of("strategy = 'shard_group'\nshards = ['a:1 b:2', 'c:3']").starts_with("ShardGroup"));
}
