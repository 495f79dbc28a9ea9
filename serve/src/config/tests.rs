use std::{collections::BTreeMap, io::Write as _, time::Duration};

use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct RawServer {
    host: String,
    port: u16,
    mode: Mode,
    tls: Option<RawTls>,
    #[serde(alias = "old_name")]
    workers: Option<usize>,
    nodes: Vec<std::net::SocketAddr>,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 1,
            mode: Mode::Gateway,
            tls: None,
            workers: None,
            nodes: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct RawTls {
    cert: String,
    strict: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Gateway,
    Master,
    Slave,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct RawCache {
    max_bytes: Size,
    ttl: Seconds,
    snapshot_interval: Minutes,
    load: f64,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Raw {
    server: RawServer,
    cache: RawCache,
    etcd: RawEtcd,
    routes: BTreeMap<String, RawRoute>,
    rules: Vec<RawRoute>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct RawEtcd {
    endpoints: List,
    ports: List<u16>,
    password: Secret,
}

impl PartialEq for Secret {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct RawRoute {
    rate: f64,
    #[serde(default)]
    burst: u32,
}

fn toml(text: &str) -> Result<Raw, ConfigError> {
    load_text(text, Format::Toml, &Env::default())
}

fn with_env(text: &str, pairs: &[(&str, &str)]) -> Result<Raw, ConfigError> {
    load_text(text, Format::Toml, &Env::from_pairs(pairs.iter().copied()))
}

#[track_caller]
fn report(result: Result<Raw, ConfigError>) -> Vec<String> {
    let text = result.expect_err("the configuration has a mistake").report();
    text.lines().map(|line| line.trim_start_matches("text: ").to_owned()).collect()
}

#[test]
fn every_kind_of_value_loads_from_toml() {
    let raw = toml(
        r#"
        [server]
        port = 9000
        mode = "slave"
        tls = { cert = "a.pem", strict = true }
        nodes = ["127.0.0.1:1", "[::1]:2"]
        [cache]
        max_bytes = "1GiB"
        ttl = 3600
        snapshot_interval = "250ms"
        load = 1
        [etcd]
        endpoints = "a:1, b:2,"
        ports = [1, "2"]
        [routes.snapshot]
        rate = 1.5
        [[rules]]
        rate = 2
        burst = 3
        "#,
    )
    .unwrap();
    assert_eq!(raw.server.tls, Some(RawTls { cert: "a.pem".into(), strict: true }));
    assert_eq!((raw.server.port, raw.server.mode), (9000, Mode::Slave));
    assert_eq!(raw.server.nodes[1].port(), 2);
    assert_eq!(raw.cache.max_bytes, Size(1 << 30));
    assert_eq!(raw.cache.ttl.0, Duration::from_secs(3600));
    assert_eq!(raw.cache.snapshot_interval.0, Duration::from_millis(250));
    assert_eq!((raw.cache.load, raw.routes["snapshot"].rate), (1.0, 1.5));
    assert_eq!(raw.etcd.endpoints.0, ["a:1", "b:2"]);
    assert_eq!(raw.etcd.ports.0, [1, 2]);
    assert_eq!(raw.rules, [RawRoute { rate: 2.0, burst: 3 }]);
}

#[test]
fn ini_text_is_read_as_what_the_key_wants() {
    let mut file = tempfile::Builder::new().suffix(".INI").tempfile().unwrap();
    writeln!(
        file,
        "; a comment\n[server]\nhost = ::1\nport = 9000\nmode = master\nnodes = 127.0.0.1:1,127.0.0.1:2\n\
         [server.tls]\nstrict = yes\n[cache]\nttl = 60\nmax_bytes = 1024\nload = 0.5\n\
         [etcd]\nendpoints = http://a:1,http://b:2\n[routes.snapshot]\nrate = 10"
    )
    .unwrap();
    let raw: Raw = load(file.path(), &Env::default()).unwrap();
    assert_eq!((raw.server.host.as_str(), raw.server.port), ("::1", 9000));
    assert_eq!(raw.server.nodes.len(), 2);
    assert!(raw.server.tls.unwrap().strict);
    assert_eq!(raw.cache.ttl.0, Duration::from_secs(60));
    assert_eq!((raw.cache.max_bytes, raw.cache.load), (Size(1024), 0.5));
    assert_eq!(raw.etcd.endpoints.0, ["http://a:1", "http://b:2"]);
    assert_eq!(raw.routes["snapshot"].rate, 10.0);
}

#[test]
fn ini_text_that_says_two_things_or_nothing_is_refused_by_its_line() {
    for (text, told) in [
        ("[server]\nport = 1\n\n[server]\nport = 2", "line 5: `server.port` is set twice"),
        ("port = 1\nport: 2", "line 2: `port` is set twice"),
        ("; x\n[server]\nport 5", "line 3: expected KEY = VALUE or [SECTION]"),
        ("[server", "line 1: expected ]"),
    ] {
        let error = load_text::<Raw>(text, Format::Ini, &Env::default()).err().unwrap();
        assert_eq!(error.report(), format!("text: {told}"));
    }
    let both = "[server]\nport = 1\n[cache]\nttl = 1\n[server]\nhost = a:b=c";
    let raw: Raw = load_text(both, Format::Ini, &Env::default()).unwrap();
    assert_eq!((raw.server.port, &*raw.server.host), (1, "a:b=c"));
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let lines = report(toml(
        r#"
        serverr = 1
        [server]
        prot = 9
        port = 70000
        mode = "gatway"
        workers = -1
        nodes = ["127.0.0.1:1", "nowhere", "127.0.0.1:2", 5]
        tls = { crt = "a.pem" }
        [cache]
        ttl = "soon"
        max_bytes = true
        load = "much"
        [routes.snapshot]
        burst = 1
        [[rules]]
        rate = "x"
        "#,
    ));
    assert_eq!(
        lines,
        [
            "`cache.load`: expected a number, found \"much\"",
            "`cache.max_bytes`: expected a size such as \"64MiB\" or bytes, found boolean `true`",
            "`cache.ttl`: expected a duration such as \"250ms\" or \"5m\", found \"soon\"",
            "missing key `routes.snapshot.rate`",
            "`rules[0].rate`: expected a number, found \"x\"",
            "`server.mode`: expected one of `gateway`, `master`, `slave`, found `gatway`; \
             did you mean `gateway`?",
            "`server.nodes[1]`: invalid socket address syntax",
            "`server.nodes[3]`: expected text in quotes, found 5",
            "`server.port`: expected an integer from 0 to 65535, found 70000",
            "unknown key `server.prot`; did you mean `server.port`?",
            "unknown key `server.tls.crt`; did you mean `server.tls.cert`?",
            "`server.workers`: expected an integer from 0 to 18446744073709551615, found -1",
            "unknown key `serverr`; did you mean `server`?",
        ]
    );
}

#[test]
fn the_environment_overrides_the_file_and_is_typed_like_the_key() {
    let raw = with_env(
        "[server]\nport = 1\nhost = \"a\"",
        &[
            ("KAMAITACHI__SERVER__PORT", "9100"),
            ("KAMAITACHI__SERVER__WORKERS", "3"),
            ("KAMAITACHI__SERVER__TLS__STRICT", "true"),
            ("KAMAITACHI__SERVER__NODES", "127.0.0.1:1, 127.0.0.1:2"),
            ("KAMAITACHI__ETCD__ENDPOINTS", "http://a:1,http://b:2"),
            ("KAMAITACHI__ROUTES__PERIOD__RATE", "7"),
            ("KAMAITACHI_UNRELATED", "1"),
        ],
    )
    .unwrap();
    assert_eq!((raw.server.port, raw.server.host.as_str()), (9100, "a"));
    assert_eq!((raw.server.workers, raw.server.nodes.len()), (Some(3), 2));
    assert!(raw.server.tls.unwrap().strict);
    assert_eq!(raw.etcd.endpoints.0.len(), 2);
    assert_eq!(raw.routes["period"].rate, 7.0);
}

#[test]
fn an_empty_variable_unsets_an_optional_key() {
    let raw = with_env("[server]\nworkers = 4", &[("KAMAITACHI__SERVER__WORKERS", "")]).unwrap();
    assert_eq!(raw.server.workers, None);
}

#[test]
fn variables_that_name_no_key_are_mistakes_that_name_the_variable() {
    let lines = report(with_env(
        "[server]\nport = 1",
        &[
            ("KAMAITACHI__SERVER__PROT", "1"),
            ("KAMAITACHI__SEVER__PORT", "1"),
            ("KAMAITACHI__SERVER__PORT__X", "1"),
            ("KAMAITACHI__SERVER", "1"),
            ("KAMAITACHI__", "1"),
            ("KAMAITACHI__SERVER__MODE", "boss"),
        ],
    ));
    let text = lines.join("\n");
    for part in [
        "unknown key `server.prot` (from KAMAITACHI__SERVER__PROT); did you mean `server.port`?",
        "unknown key `sever` (from KAMAITACHI__SEVER__PORT); did you mean `server`?",
        "environment variable KAMAITACHI__SERVER__PORT__X sets `server.port.x`, but `server.port` is no table",
        "environment variable KAMAITACHI__SERVER sets `server`, but `server` is no table",
        "environment variable KAMAITACHI__ names no key",
        "`server.mode` (from KAMAITACHI__SERVER__MODE): expected one of",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn optional_and_aliased_keys_count_as_known() {
    let raw = toml("[server]\nold_name = 2\ntls = {}").unwrap();
    assert_eq!((raw.server.workers, raw.server.tls), (Some(2), Some(RawTls::default())));
}

#[test]
fn a_missing_file_is_named() {
    let error = load::<Raw>(Path::new("/no/such.toml"), &Env::default()).unwrap_err();
    let line = error.to_string();
    assert!(
        line.starts_with("/no/such.toml: cannot read the configuration file: No such file"),
        "{line}"
    );
}

#[test]
fn broken_syntax_is_told_in_one_line_with_its_place() {
    let line = toml("[server]\nport = \nhost=1").unwrap_err().to_string();
    assert!(!line.contains('\n') && line.contains("line 2"), "{line}");
    assert!(!line.contains('|'), "{line}");
}

#[test]
fn checks_run_on_what_is_left_so_that_one_run_tells_all() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[server]\nport = 0\nprot = 1\n[cache]\nttl = \"x\"").unwrap();
    let error = load_checked(Some(file.path()), &Env::default(), |raw: Raw, mistakes| {
        let mut server = mistakes.section("server");
        server.within("port", raw.server.port, 1..=65535)
    })
    .unwrap_err();
    let keys: Vec<_> = error.mistakes().unwrap().iter().map(Mistake::key).collect();
    assert_eq!(keys, ["cache.ttl", "server.prot", "server.port"]);
    assert_eq!(error.report().lines().count(), 3);
    assert!(error.to_string().ends_with("(and 2 more mistakes)"));
}

#[test]
fn secrets_come_from_variables_and_files_and_never_print() {
    let raw = toml("[etcd]\npassword = \"env:TOKEN\"").unwrap();
    let env = Env::from_pairs([("TOKEN", "s3cret")]);
    assert_eq!(raw.etcd.password.reveal(&env).unwrap().expose_secret(), "s3cret");
    assert_eq!(
        raw.etcd.password.reveal(&Env::default()).unwrap_err(),
        InvalidSecret::NoVariable("TOKEN".into())
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "from file").unwrap();
    let secret = Secret::from(format!("file:{}", file.path().display()).as_str());
    assert_eq!(secret.reveal(&env).unwrap().expose_secret(), "from file");
    assert_eq!(format!("{secret:?} {secret} {:?}", raw.etcd), format!("*** *** {:?}", raw.etcd));
    assert!(format!("{:?}", raw.etcd).contains("***"));
}

#[test]
fn durations_and_sizes_refuse_nonsense() {
    for bad in ["-1", "NaN", "inf", "1e300", "5 parsecs", ""] {
        assert!(bad.parse::<Seconds>().is_err(), "{bad}");
    }
    assert_eq!("1.5".parse::<Seconds>().unwrap().0, Duration::from_millis(1500));
    assert_eq!("2".parse::<Minutes>().unwrap(), Minutes::of(2));
    for bad in ["-1", "much", "1 XB"] {
        assert!(bad.parse::<Size>().is_err(), "{bad}");
    }
}
