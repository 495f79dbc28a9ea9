use std::path::PathBuf;

use kamaitachi_serve::config::Format;

use super::*;

fn check(text: &str, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    load(Some(&file), &Env::from_pairs(env.iter().copied())).map_err(|error| {
        let report = error.report();
        let prefix = format!("{}: ", file.display());
        report.lines().map(|line| line.trim_start_matches(&prefix).to_owned()).collect()
    })
}

fn mistakes(text: &str) -> Vec<String> {
    check(text, &[]).expect_err("the configuration has a mistake")
}

fn conf(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../conf").join(name)
}

const NODES: [(&str, &str); 2] = [
    ("KAMAITACHI__UPSTREAM__NODES", "127.0.0.1:8081,127.0.0.1:8082"),
    ("KAMAITACHI__UPSTREAM__MASTER", "127.0.0.1:8080"),
];

#[test]
fn the_files_in_conf_say_what_is_compiled_in() {
    let compiled_in = format!("{:#?}", load(None, &Env::from_pairs(NODES)).unwrap());
    for name in ["gateway.toml", "gateway.ini"] {
        let file = load(Some(&conf(name)), &Env::default()).unwrap();
        assert_eq!(format!("{file:#?}"), compiled_in, "{name}");
    }
}

#[test]
fn every_key_is_in_the_file_in_conf() {
    let text = std::fs::read_to_string(conf("gateway.toml")).unwrap();
    let has = |section: &str, key: &str| {
        let (_, rest) = text.split_once(&format!("\n[{section}]\n")).unwrap_or_default();
        let body = rest.split("\n[").next().unwrap_or_default();
        body.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")))
    };
    let mut missing = Vec::new();
    let mut see = |section: &str, keys: &serde_json::Value| {
        for key in keys.as_object().unwrap().keys().filter(|key| !has(section, key)) {
            missing.push(format!("{section}.{key}"));
        }
    };
    let raw = serde_json::to_value(RawConfig::default()).unwrap();
    for (section, keys) in raw.as_object().unwrap().iter().filter(|(name, _)| *name != "routes") {
        see(section, keys);
    }
    see("routes.snapshot", &serde_json::to_value(RawRoute::default()).unwrap());
    assert_eq!(missing, Vec::<String>::new());
}

/// One bad value for each rule, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    (
        "[server]\nhost = 'example.com'",
        "`server.host`: expected an IP address such as \"127.0.0.1\", or \"localhost\", found \"example.com\"",
    ),
    ("[server]\nport = 65536", "`server.port`: expected an integer from 0 to 65535, found 65536"),
    ("[server]\nmode = 'slave'", "`server.mode`: expected \"gateway\", found \"slave\""),
    ("[server]\nworkers = 2000", "`server.workers`: 2000 is outside 0 to 1024"),
    ("[server]\ndrain_seconds = '2h'", "`server.drain_seconds`: 2h is outside 0s to 1h"),
    ("[server]\nprot = 1", "unknown key `server.prot`; did you mean `server.port`?"),
    ("[admin]\nport = 9000", "`admin.port`: 127.0.0.1:9000 is the address of the public listener"),
    (
        "[upstream]\nnodes = ['localhost']",
        "`upstream.nodes[0]`: expected HOST:PORT such as \"127.0.0.1:8081\", without a scheme or a path, found \"localhost\"",
    ),
    ("[upstream]\nnodes = ['a:1', 'b:1', 'a:1']", "`upstream.nodes[2]`: a:1 is listed twice"),
    (
        "[upstream]\nnodes = ['127.0.0.1:9000']",
        "`upstream.nodes[0]`: 127.0.0.1:9000 is the gateway itself: requests would go round in circles",
    ),
    (
        "[server]\nhost = '0.0.0.0'\n[upstream]\nnodes = ['10.0.0.1:9000', '127.0.0.1:9000']",
        "`upstream.nodes[1]`: 127.0.0.1:9000 is the gateway itself",
    ),
    (
        "[upstream]\nnodes = ['localhost:9000']",
        "`upstream.nodes[0]`: localhost:9000 is the gateway",
    ),
    ("[upstream]\nnodes = ['0.0.0.0:9000']", "`upstream.nodes[0]`: 0.0.0.0:9000 is the gateway"),
    (
        "[upstream]\nnodes = ['127.0.0.1:9901']",
        "`upstream.nodes[0]`: 127.0.0.1:9901 is the gateway",
    ),
    (
        "[admin]\nhost = '0.0.0.0'\n[upstream]\nmaster = '[::1]:9901'",
        "`upstream.master`: is the gateway itself: requests would go round in circles",
    ),
    (
        "[upstream]\nmaster = 'http://a:1'",
        "`upstream.master`: expected HOST:PORT such as \"127.0.0.1:8081\", without a scheme or a path, found \"http://a:1\"",
    ),
    (
        "[upstream]\nmaster = '127.0.0.1:9000'",
        "`upstream.master`: is the gateway itself: requests would go round in circles",
    ),
    ("[upstream]\nconnect_timeout = '0s'", "`upstream.connect_timeout`: 0s is outside 1ms to 1m"),
    ("[upstream]\ntimeout = '2h'", "`upstream.timeout`: 2h is outside 1ms to 1h"),
    (
        "[upstream]\nidle_timeout = 'long'",
        "`upstream.idle_timeout`: expected a duration such as \"250ms\" or \"5m\", found \"long\"",
    ),
    ("[upstream]\nmax_idle = 10001", "`upstream.max_idle`: 10001 is outside 0 to 10000"),
    (
        "[etcd]\nendpoints = ['etcd']",
        "`etcd.endpoints[0]`: expected HOST:PORT or a URL such as \"http://127.0.0.1:2379\", without a path, found \"etcd\"",
    ),
    (
        "[etcd]\nprefix = 'services'",
        "`etcd.prefix`: expected a path such as \"/services\", found \"services\"",
    ),
    (
        "[discovery]\nslaves = 'a/b'",
        "`discovery.slaves`: expected a name without blanks and slashes, found \"a/b\"",
    ),
    (
        "[discovery]\nmaster = 'kamaitachi-slave'",
        "`discovery.master`: is the name of the slaves too: writes would go to any of them",
    ),
    (
        "[discovery]\nallowed_cidrs = ['10.0.0.0']",
        "`discovery.allowed_cidrs[0]`: expected a network such as \"10.0.0.0/8\", found \"10.0.0.0\"",
    ),
    (
        "[discovery]\nmax_drop_percent = 101",
        "`discovery.max_drop_percent`: 101 is outside 0 to 100",
    ),
    ("[discovery]\nhold = '2h'", "`discovery.hold`: 2h is outside 0s to 1h"),
    ("[discovery]\nrelist = 0", "`discovery.relist`: 0s is outside 1s to 1h"),
    ("[discovery]\nmax_nodes = 0", "`discovery.max_nodes`: 0 is outside 1 to 100000"),
    ("[discovery]\ninterval = 0", "`discovery.interval`: 0s is outside 1s to 1h"),
    (
        "[discovery]\nfile = 'x'\ndns = 'nodes:80'",
        "`discovery.dns`: nodes are looked for in one place: set one of etcd.endpoints, discovery.file and discovery.dns",
    ),
    ("[etcd]\nttl = 0", "`etcd.ttl`: 0s is outside 1s to 1h"),
    ("[ring]\nreplicas = 0", "`ring.replicas`: 0 is outside 1 to 10000"),
    ("[ring]\nspread = 'even'", "`ring.spread`: expected one of `plain`, `mixed`, found `even`"),
    ("[limits]\nconnections = 0", "`limits.connections`: 0 is outside 1 to 1000000"),
    ("[limits]\nhead_timeout = 0", "`limits.head_timeout`: 0s is outside 1ms to 1h"),
    ("[limits]\nhead_bytes = 10", "`limits.head_bytes`: 10 B is outside 1.0 KiB to 1.0 MiB"),
    (
        "[rate_limit]\nenabled = 'maybe'",
        "`rate_limit.enabled`: expected true or false, found \"maybe\"",
    ),
    (
        "[rate_limit]\nexempt_key = 'short'",
        "`rate_limit.exempt_key`: expected 16 characters at least",
    ),
    (
        "[rate_limit]\nexempt_key = 'env:NOT_THERE'",
        "`rate_limit.exempt_key`: environment variable NOT_THERE is not set",
    ),
    (
        "[rate_limit]\nclient = 'name'",
        "`rate_limit.client`: expected \"ip\" or \"header:NAME\", found \"name\"",
    ),
    (
        "[rate_limit]\nclient_burst = 5",
        "`rate_limit.client_burst`: is set, but `rate_limit.client_rate` is not",
    ),
    (
        "[rate_limit]\nclient_rate = 2000000",
        "`rate_limit.client_rate`: rate is 2000000 a second, expected 1 to 1000000",
    ),
    ("[rate_limit]\nmax_clients = 0", "`rate_limit.max_clients`: 0 is outside 1 to 16777216"),
    ("[breaker]\nwindow = '1ms'", "`breaker.window`: 1ms is outside 100ms to 1h"),
    ("[breaker]\nfailure_percent = 101", "`breaker.failure_percent`: 101 is outside 1 to 100"),
    ("[breaker]\nclose_after = 11", "`breaker.close_after`: 11 is outside 1 to 10"),
    ("[retry]\nmax_tries = 0", "`retry.max_tries`: 0 is outside 1 to 10"),
    ("[retry]\nbudget_percent = 1001", "`retry.budget_percent`: 1001 is outside 0 to 1000"),
    (
        "[forward]\ntrusted_proxies = ['10.0.0.0/33']",
        "`forward.trusted_proxies[0]`: expected a network such as \"10.0.0.0/8\" or an address, found \"10.0.0.0/33\"",
    ),
    (
        "[forward]\nvia = 'a b'",
        "`forward.via`: pseudonym \"a b\" must be one or more letters, digits, dots, dashes or underscores",
    ),
    (
        "[health]\npath = 'readyz'",
        "`health.path`: expected a path such as \"/readyz\", found \"readyz\"",
    ),
    ("[health]\nunhealthy_after = 0", "`health.unhealthy_after`: 0 is outside 1 to 100"),
    ("[log]\nlevel = 'x=loud'", "`log.level`: expected a log level or filter"),
    ("[log]\nformat = 'xml'", "`log.format`: expected one of `auto`, `json`, `text`, found `xml`"),
    (
        "[routes.Bad]\npaths = ['/x']",
        "`routes.Bad`: expected a name of 1 to 64 of the characters a-z, 0-9, _ and -",
    ),
    (
        "[routes.mine]\nrate = 1",
        "`routes.mine.paths`: expected one path pattern at least, such as \"/data/v1/*\"",
    ),
    ("[routes.mine]\npaths = ['x']", "`routes.mine.paths`: route \"x\" must begin with a slash"),
    (
        "[routes.mine]\npaths = ['/health']",
        "`routes.mine.paths`: route \"/health\" is there twice for one of its methods",
    ),
    ("[routes.mine]\npaths = ['/data/v1/save/']", "is there twice for one of its methods"),
    (
        "[routes.period]\nmethods = ['fetch']",
        "`routes.period.methods[0]`: unknown method \"fetch\", expected any, get, head, post, put, patch, delete or options",
    ),
    (
        "[routes.period]\ntarget = 'slave'",
        "`routes.period.target`: expected one of `ring`, `master`, found `slave`",
    ),
    (
        "[routes.period]\nstrip_prefix = 'data'",
        "`routes.period.strip_prefix`: prefix \"data\" must be a path that begins with a slash, without a query",
    ),
    ("[routes.period]\nrate = 1000001", "`routes.period.rate`: 1000001 is outside 0 to 1000000"),
    ("[routes.period]\nburst = 0", "`routes.period.burst`: 0 is outside 1 to 10000000"),
    ("[routes.period]\nkeys = ['moon']", "key source \"moon\": expected body:FIELD, header:NAME"),
    (
        "[routes.period]\nmax_body = '1GiB'",
        "`routes.period.max_body`: 1.0 GiB is outside 0 B to 64.0 MiB",
    ),
    ("[routes.period]\ntimeout = '0s'", "`routes.period.timeout`: 0s is outside 1ms to 1day"),
    (
        "[routes.save]\nretry = true",
        "`routes.save.retry`: is for the ring alone: there is one master",
    ),
];

#[test]
fn every_rule_has_words_for_who_breaks_it() {
    for (text, said) in WRONG {
        let mistakes = mistakes(text);
        assert!(mistakes.len() == 1 && mistakes[0].contains(said), "{text}\n{mistakes:#?}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_named_at_once() {
    let text = "[server]\nport = 'x'\nworker = 1\n[breaker]\nwindow = '1ms'\nopen_for = 0\n[routes.period]\nrate = -1\n";
    assert_eq!(
        mistakes(text),
        [
            "`routes.period.rate`: expected an integer from 0 to 4294967295, found -1",
            "`server.port`: expected an integer from 0 to 65535, found \"x\"",
            "unknown key `server.worker`; did you mean `server.workers`?",
            "`breaker.window`: 1ms is outside 100ms to 1h",
            "`breaker.open_for`: 0s is outside 1ms to 1day",
        ]
    );
}

fn route<'a>(config: &'a Config, name: &str) -> &'a RouteConfig {
    config.routes.iter().find(|route| &*route.name == name).unwrap()
}

#[test]
fn a_key_changes_that_key_of_a_route_and_no_other() {
    let config = check("[routes.period]\nrate = 7\n", &[]).unwrap();
    let period = route(&config, "period");
    assert_eq!(period.quota.map(|quota| (quota.rate(), quota.burst())), Some((7, 500)));
    assert_eq!(period.paths, ["/data/kamaitachi/api/data/v1/period"]);
    assert!(period.retry && period.breaker);
}

#[test]
fn routes_can_be_taken_out_added_and_left_without_a_limit() {
    let text = "[routes.recent]\nenabled = false\n[routes.period]\nrate = 0\n\
                [routes.mine]\npaths = '/mine/*, /yours'\nmethods = 'get, post'\n";
    let config = check(text, &[]).unwrap();
    assert!(config.routes.iter().all(|route| &*route.name != "recent"));
    assert_eq!(route(&config, "period").quota, None);
    let mine = route(&config, "mine");
    assert_eq!((mine.paths.len(), mine.target, mine.retry), (2, Target::Ring, false));
    assert_eq!(mine.quota.map(|quota| (quota.rate(), quota.burst())), Some((1000, 1500)));
    assert!(
        mine.methods.contains(&http::Method::HEAD) && !mine.methods.contains(&http::Method::PUT)
    );
}

#[test]
fn the_environment_overrides_any_key() {
    let env = [
        ("KAMAITACHI__SERVER__PORT", "9100"),
        ("KAMAITACHI__ROUTES__PERIOD__RATE", "9"),
        ("KAMAITACHI__RATE_LIMIT__EXEMPT_KEY", "0123456789abcdef"),
    ];
    let config = check("[server]\nport = 9200", &env).unwrap();
    assert_eq!(config.server.listen.port(), 9100);
    assert_eq!(route(&config, "period").quota.unwrap().rate(), 9);
    let shown = format!("{config:?}");
    assert!(config.rate_limit.exempt_key.is_some() && !shown.contains("0123456789abcdef"));
}

#[test]
fn time_outs_of_routes_follow_the_one_for_all_unless_they_have_their_own() {
    let config = check("[upstream]\ntimeout = '5s'\n[routes.period]\ntimeout = '1s'", &[]).unwrap();
    let seconds = |name: &str| route(&config, name).timeout.as_secs();
    assert_eq!((seconds("snapshot"), seconds("period"), seconds("ingest")), (5, 1, 600));
}

#[test]
fn sections_that_all_processes_know_may_stand_here_too_and_their_mistakes_are_told() {
    let shared = "[cache]\nmax_bytes = '2GiB'\nttl = 60\nsnapshot_path = 'x'\nsnapshot_interval = 5\n\
                  snapshot_keep = 2\n[database]\npath = 'a.db'\nsync = 'full'\n[replication]\nmaster = 'a:1'\n";
    assert!(check(shared, &[("KAMAITACHI__CACHE__TTL", "5")]).is_ok());
    let wrong = mistakes("[cache]\nmax_byts = 1\nttl = 'soon'\n[cahce]\n");
    for told in ["did you mean `cache.max_bytes`", "`cache.ttl`", "did you mean `cache`"] {
        assert!(wrong.iter().any(|mistake| mistake.contains(told)), "{told}: {wrong:?}");
    }
}

#[test]
fn an_ini_file_has_the_same_sections_and_keys() {
    let text = "[server]\nport = 9300\n[upstream]\nnodes = a:1, b:2\n[routes.period]\nrate = 3\n";
    let raw: RawConfig =
        kamaitachi_serve::config::load_text(text, Format::Ini, &Env::default()).unwrap();
    assert_eq!((raw.server.port, raw.upstream.nodes.0.len()), (9300, 2));
    assert_eq!(raw.routes["period"].rate, Some(3));
}
