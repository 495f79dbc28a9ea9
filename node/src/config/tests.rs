use std::collections::BTreeSet;

use kamaitachi_serve::config::{Format, load_text};
use secrecy::ExposeSecret;

use super::*;

fn read(text: &str) -> Result<Config, String> {
    read_with(text, &[])
}

fn read_with(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, text).unwrap();
    let env = Env::from_pairs(env.iter().copied());
    Config::load(Some(&file), None, &env).map_err(|error| error.report())
}

fn conf(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf").join(name)
}

#[test]
fn every_file_in_conf_is_good_and_both_forms_say_the_same() {
    for (name, port, role) in
        [("master", 8080, "master"), ("slave1", 8081, "slave"), ("slave2", 8082, "slave")]
    {
        let [toml, ini] = ["toml", "ini"].map(|form| {
            let file = conf(&format!("{name}.{form}"));
            Config::load(Some(&file), None, &Env::default())
                .map_err(|error| error.report())
                .unwrap()
        });
        assert_eq!((toml.server.port, toml.server.role.name()), (port, role));
        assert_eq!(toml.database.path, Path::new(&format!("data/{name}.db")));
        assert_eq!(format!("{toml:?}"), format!("{ini:?}"));
    }
}

#[test]
fn the_files_in_conf_hold_every_key_with_its_default() {
    let defaults = Config::load(None, None, &Env::default()).unwrap();
    let mut master = Config::load(Some(&conf("master.toml")), None, &Env::default()).unwrap();
    assert_eq!(master.database.path, defaults.database.path);
    master.cache.snapshots.files.dir = defaults.cache.snapshots.files.dir.clone();
    assert_eq!(format!("{master:?}"), format!("{defaults:?}"));

    let known = serde_json::to_value(raw::Raw::default()).unwrap();
    let known: BTreeSet<String> = known
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(section, keys)| {
            keys.as_object().unwrap().keys().map(move |key| format!("{section}.{key}"))
        })
        .collect();
    for name in
        ["master.toml", "slave1.toml", "slave2.toml", "master.ini", "slave1.ini", "slave2.ini"]
    {
        let mut section = String::new();
        let mut written = BTreeSet::new();
        for line in std::fs::read_to_string(conf(name)).unwrap().lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.split_once(" =") {
                let key = key.trim_start_matches(['#', ';', ' ']);
                written.insert(format!("{section}.{key}"));
            }
        }
        assert_eq!(written, known, "{name}");
    }
}

/// One bad value for every rule.
const BAD: &str = r#"
        [server]
        mode = "boss"
        host = "nowhere"
        port = 70000
        service_addr = "http://x"
        service_name = "a b"
        workers = 5000
        leave_wait = "2m"
        prot = 1
        [database]
        sync = "off"
        readers = 65
        [cache]
        max_bytes = 1
        ttl = 0
        snapshot_keep = 0
        snapshot_compression = "lz4"
        snapshot_key = "tooshort"
        [replication]
        master = "here"
        wait = "2h"
        token = "env:NOT_THERE"
        timeout = 0
        retry_max = "1h"
        [etcd]
        endpoints = "http://"
        prefix = "services"
        ttl = 0
        [peers]
        nodes = "127.0.0.1:8081,here"
        service_name = "the slaves"
        replicas = 0
        spread = "even"
        hand_over_bytes = 1
        hand_over_time = "2h"
        token = "env:NOWHERE"
        [query]
        default_ids = ""
        default_field = ""
        default_limit = 0
        max_limit = 0
        [log]
        level = "info,hyper=loud"
        format = "yaml"
        [limits]
        body = 1
        ingest_body = 1
        nesting = 200
        subjects = 0
        name = 1
        handler_timeout = 0
        connections = 0
        head_bytes = 1
    "#;

#[test]
fn one_run_names_every_mistake_with_its_key() {
    let report = read(BAD).unwrap_err();
    for key in [
        "server.mode",
        "server.host",
        "server.port",
        "server.service_addr",
        "server.service_name",
        "server.workers",
        "server.leave_wait",
        "server.prot",
        "database.sync",
        "database.readers",
        "cache.max_bytes",
        "cache.ttl",
        "cache.snapshot_keep",
        "cache.snapshot_compression",
        "cache.snapshot_key",
        "replication.master",
        "replication.wait",
        "replication.token",
        "replication.timeout",
        "replication.retry_max",
        "etcd.endpoints[0]",
        "etcd.prefix",
        "etcd.ttl",
        "peers.nodes",
        "peers.service_name",
        "peers.replicas",
        "peers.spread",
        "peers.hand_over_bytes",
        "peers.hand_over_time",
        "peers.token",
        "query.default_ids",
        "query.default_field",
        "query.default_limit",
        "query.max_limit",
        "limits.body",
        "limits.ingest_body",
        "limits.nesting",
        "limits.subjects",
        "limits.name",
        "limits.handler_timeout",
        "limits.connections",
        "limits.head_bytes",
    ] {
        assert!(report.contains(&format!("`{key}`")), "{key} is not in\n{report}");
    }
    assert!(report.contains("did you mean `server.port`"), "{report}");
    assert!(!report.contains("tooshort"), "a secret is told: {report}");
}

#[test]
fn modes_decide_defaults_and_who_may_have_a_master() {
    let master = read("[server]\nmode = 'master'").unwrap();
    assert_eq!(master.server.role, Role::Master);
    assert_eq!((master.server.port, master.database.durability), (8080, Durability::Full));
    assert_eq!(master.server.service_name, "kamaitachi-master");
    let slave = read("[server]\nmode = 'slave'\n[replication]\nmaster = '10.0.0.1:8080'").unwrap();
    assert_eq!(slave.server.role, Role::Slave { master: Some("10.0.0.1:8080".into()) });
    assert_eq!((slave.server.port, slave.database.durability), (8081, Durability::Normal));
    assert_eq!(slave.server.service_name, "kamaitachi-slave");
    let both = read("[server]\nmode = 'master'\n[replication]\nmaster = '10.0.0.1:8080'");
    assert!(both.unwrap_err().contains("`replication.master`"));
    let gateway = read("[server]\nmode = 'gateway'").unwrap_err();
    assert!(gateway.contains("kamaitachi-gateway"), "{gateway}");
}

#[test]
fn a_node_that_registers_itself_must_know_its_address() {
    let etcd = "[server]\nhost = '0.0.0.0'\n[etcd]\nendpoints = '127.0.0.1:2379'";
    let mistake = read(etcd).unwrap_err();
    assert!(mistake.contains("`server.service_addr`"), "{mistake}");
    let known = etcd.replace("[etcd]", "service_addr = '10.0.0.1:8081'\n[etcd]");
    let config = read(&known).unwrap();
    assert_eq!(config.etcd.unwrap().endpoints, ["127.0.0.1:2379"]);
    assert!(read("[server]\nhost = '0.0.0.0'").unwrap().etcd.is_none());
}

#[test]
fn the_environment_and_the_command_line_override_the_file() {
    let config = read_with("[server]\nport = 1", &[("KAMAITACHI__SERVER__PORT", "9100")]).unwrap();
    assert_eq!(config.server.port, 9100);
    let given = Some(PathBuf::from("other.db"));
    let config = Config::load(None, given, &Env::default()).unwrap();
    assert_eq!(config.database.path, Path::new("other.db"));
    assert_eq!(config.cache.snapshots.files.dir, Path::new("other.db.snapshots"));
}

#[test]
fn the_key_of_snapshots_comes_from_the_environment_and_is_never_shown() {
    let key = "00ff".repeat(16);
    let text = "[cache]\nsnapshot_key = 'env:SNAPSHOT_KEY'";
    let config = read_with(text, &[("SNAPSHOT_KEY", &key)]).unwrap();
    let shown = format!("{config:?}");
    let secret = config.cache.snapshots.files.key.unwrap();
    assert_eq!(secret.expose_secret()[..3], [0, 0xff, 0]);
    assert!(!shown.contains("255") && !shown.contains("00ff"), "{shown}");
    assert!(read(text).unwrap_err().contains("SNAPSHOT_KEY is not set"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/nowhere.toml")), None, &Env::default()).unwrap_err();
    assert!(error.report().contains("/nowhere.toml"), "{error}");
    let typo = load_text::<raw::Raw>("[server\n", Format::Toml, &Env::default());
    assert!(typo.is_err());
}

#[test]
fn slaves_hand_over_and_are_in_the_group_and_the_master_is_in_the_group_alone() {
    let peers = |text: &str| {
        let config = read(text).unwrap();
        let service = config.subjects.as_ref().map(|subjects| subjects.service.clone());
        (config.peers.is_some(), service)
    };
    let slave = "[server]\nmode = 'slave'\nservice_name = 'mine'\n";
    let (found, slaves) = ("[etcd]\nendpoints = 'a:1'\n", "kamaitachi-slave".to_owned());
    assert_eq!(peers(""), (false, None));
    assert_eq!(peers(slave), (false, None));
    assert_eq!(peers(found), (false, Some(slaves.clone())));
    assert_eq!(peers("[peers]\nnodes = 'a:1'"), (false, Some(slaves)));
    assert_eq!(peers(&format!("{slave}{found}")), (true, Some("mine".into())));
    let named = format!("{slave}[peers]\nnodes = 'a:1'\nservice_name = 'other'");
    assert_eq!(peers(&named), (true, Some("other".into())));
    assert_eq!(peers(&format!("{named}\ngroup = false")), (true, None));
}

#[test]
fn a_token_that_cannot_be_sent_is_a_mistake() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "zwölf Wörter").unwrap();
    let text = format!("[peers]\nnodes = 'a:1'\ntoken = 'file:{}'", file.path().display());
    let report = read(&text).unwrap_err();
    assert!(report.contains("peers.token") && report.contains("visible ASCII"), "{report}");
}
