//! The program against a server that answers as it is told: right, wrong, late, or not at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    convert::Infallible,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kamaitachi_loadtest::{oracle::Oracle, report::Report, workload};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Right,
    Wrong,
    Refusing,
    Silent,
}

/// A server on a free port that lives as long as the test.
fn serve(db: &Path, manner: Manner) -> SocketAddr {
    serve_and_note(db, manner, mpsc::channel().0)
}

/// The same, and notes the paths that it is asked for.
fn serve_and_note(db: &Path, manner: Manner, asked: mpsc::Sender<String>) -> SocketAddr {
    let oracle = Arc::new(Oracle::open(db).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let oracle = Arc::clone(&oracle);
                let asked = asked.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    // Most tests don't want to know.
                    let _ = asked.send(request.uri().path().to_owned());
                    answer(request, oracle.clone(), manner)
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    address
}

async fn answer(
    request: Request<Incoming>,
    oracle: Arc<Oracle>,
    manner: Manner,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/reset") {
        return Ok(Response::new(r#"{"status_code":0,"data":null}"#.into()));
    }
    if path.ends_with("/stats") {
        let body = r#"{"status_code":0,"data":{"aggregate":{"hits":7,"misses":1}}}"#;
        return Ok(Response::new(body.into()));
    }
    assert_eq!(path, format!("/data{}", workload::SNAPSHOT));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let query: Value = serde_json::from_slice(&body).unwrap();
    match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Refusing => {
            let response = Response::builder().status(429).body(Full::default()).unwrap();
            Ok(response)
        }
        Manner::Right | Manner::Wrong => {
            let rows = right(&oracle, &query, manner == Manner::Wrong);
            Ok(Response::new(
                json!({"status_code": 0, "status_msg": "success", "data": rows}).to_string().into(),
            ))
        }
    }
}

fn right(oracle: &Oracle, query: &Value, spoiled: bool) -> Vec<Value> {
    let known = |list: &[&'static str], name: &str| *list.iter().find(|k| **k == name).unwrap();
    let names = |key: &str| -> Vec<String> {
        query[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let typed = workload::Query {
        ids: names("ids").iter().map(|name| known(&workload::INDICATORS, name)).collect(),
        subjects: names("subjects").iter().map(|name| known(&workload::SUBJECTS, name)).collect(),
        field: if query["field"] == "report_date" { "report_date" } else { "operating_income" },
        order: -1,
        offset: 0,
        limit: u32::try_from(query["limit"].as_u64().unwrap()).unwrap(),
        timestamp: query["timestamp"].as_i64(),
    };
    let rows = oracle.answer(&typed).into_iter().map(|(subject, mut data)| {
        if spoiled {
            data.values_mut().for_each(|value| *value = json!(value.as_f64().unwrap() + 1.0));
        }
        json!({"subject": oracle.subject(subject), "data": data})
    });
    rows.collect()
}

fn database() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sample.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    let columns = workload::INDICATORS.map(|name| format!("{name} REAL")).join(", ");
    db.execute_batch(&format!(
        "CREATE TABLE finance_data(id INTEGER PRIMARY KEY, subject_key TEXT, report_date INTEGER, {columns})"
    ))
    .unwrap();
    for (number, subject) in (0u32..).zip(workload::SUBJECTS) {
        for date in [0, workload::DATE, workload::DATE + 1] {
            let v = f64::from(number) + 0.1;
            db.execute(
                "INSERT INTO finance_data VALUES (NULL, ?1, ?2, ?3, ?3, NULL, ?3, ?3, ?3)",
                (subject, date, v),
            )
            .unwrap();
        }
    }
    (dir, file)
}

fn harness(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kamaitachi-loadtest")).args(args).output().unwrap()
}

fn run(manner: Manner, more: &[&str]) -> (Output, Option<Report>) {
    let (_dir, db) = database();
    let target = format!("http://{}/data", serve(&db, manner));
    let db = db.display().to_string();
    let mut args =
        vec!["--target", &target, "--concurrent", "4", "--json", "--verify", "--db", &db];
    args.extend(more);
    let output = harness(&args);
    let report = serde_json::from_slice(&output.stdout).ok();
    (output, report)
}

#[test]
fn right_answers_exit_0_in_every_scenario() {
    for scenario in ["1", "2", "3", "4"] {
        let (output, report) =
            run(Manner::Right, &["--scenario", scenario, "--requests", "200", "--repeat", "10"]);
        let report = report.unwrap();
        assert_eq!(output.status.code(), Some(0), "{report:?}");
        let row = &report.rows[0];
        assert_eq!((row.requests, row.unique, row.errors), (200, 20, 0));
        assert!(row.latency.min <= row.latency.p50 && row.latency.p50 <= row.latency.max);
    }
}

#[test]
fn every_answer_is_noted_where_that_is_wanted() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let name = file.path().to_str().unwrap();
    let more = ["--requests", "20", "--warmup", "5", "--answers", name];
    for (manner, outcome) in [(Manner::Right, "right"), (Manner::Refusing, "status 429")] {
        run(manner, &more);
        let text = std::fs::read_to_string(name).unwrap();
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.splitn(3, ' ').collect()).collect();
        assert_eq!(lines.len(), 20, "what is sent first is not counted: {text}");
        for line in lines {
            assert!(line[0].parse::<u64>().unwrap() > 1_700_000_000_000, "{line:?}");
            assert!(line[1].parse::<u64>().unwrap() > 0 && line[2] == outcome, "{line:?}");
        }
    }
}

#[test]
fn a_wrong_answer_exits_1_and_is_shown() {
    let (output, report) = run(Manner::Wrong, &["--requests", "20"]);
    assert_eq!(output.status.code(), Some(1));
    let row = &report.unwrap().rows[0];
    assert_eq!(row.outcomes.get("wrong answer"), Some(&20));
    assert!(row.wrong[0].contains("instead of"), "{:?}", row.wrong);
}

#[test]
fn a_refusal_and_a_silence_exit_1_and_are_told_apart() {
    let (output, report) = run(Manner::Refusing, &["--requests", "20"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report.unwrap().rows[0].outcomes.get("status 429"), Some(&20));
    let (output, report) = run(Manner::Silent, &["--requests", "4", "--timeout", "200ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report.unwrap().rows[0].outcomes.get("timed out"), Some(&4));
}

#[test]
fn nobody_there_exits_1() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = harness(&["--target", &format!("http://127.0.0.1:{port}"), "--requests", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("connection failed"));
}

#[test]
fn an_open_loop_counts_latency_from_the_intended_start() {
    // One connection, each answer gives up after 100 ms, twenty starts a second for a second:
    // the last one waits for all before it.
    let (_, report) = run(
        Manner::Silent,
        &["--rate", "20", "--requests", "10", "--timeout", "100ms", "--concurrent", "1"],
    );
    let row = &report.unwrap().rows[0];
    let service = Duration::from_micros(row.service.max);
    assert!(row.latency.max > 2 * row.service.max, "{service:?} {:?}", row.latency);
    assert!(row.invalid.as_ref().unwrap().contains("saturated"), "{:?}", row.invalid);
}

#[test]
fn usage_errors_exit_2() {
    for bad in [
        &["--scenario", "5"][..],
        &["--verify", "--db", "/nonexistent/file.db"],
        &["--compare", "/nonexistent/old.json"],
        &["--config", "/nonexistent/load.toml"],
        &["--rate", "-1"],
        &["--no-such-option"],
    ] {
        let output = harness(bad);
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{bad:?}: {said}");
    }
}

#[test]
fn a_mistake_in_a_file_is_one_line_that_names_file_key_and_reason() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, words) in [
        ("a.toml", "[load]\nrequsts = 5", ["load.requsts", "did you mean `requests`"]),
        ("b.toml", "[load]\nrequests = 'x'", ["load.requests", "invalid digit"]),
        ("c.toml", "[load]\nrate = -1", ["load.rate", "expected requests a second"]),
        ("d.toml", "[load\nrequests = 5", ["line 1", "]"]),
        ("e.ini", "; mine\n[load]\nscenario = 9", ["load.scenario", "9 is not in 1..=4"]),
        ("f.ini", "[load]\nrequests = 5\nrequests = 6", ["load.requests", "twice"]),
        ("g.ini", "[load]\nrequests", ["line 2", "expected KEY = VALUE"]),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let output = harness(&["--config", &file.display().to_string()]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.lines().count() == 1 && said.contains(name), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn a_stopped_run_reports_what_was_measured_and_exits_as_its_answers_were() {
    let (_dir, db) = database();
    let target = format!("http://{}/data", serve(&db, Manner::Right));
    let mut child = Command::new(env!("CARGO_BIN_EXE_kamaitachi-loadtest"))
        .args(["--target", &target, "--rate", "50", "--duration", "1h", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line of progress: by then the signal is listened for.
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    progress.next().unwrap().unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let told: Vec<String> = progress.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{told:?}");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.rows[0].requests > 0 && report.rows[0].errors == 0);
    assert!(told.iter().any(|line| line.starts_with("stopping")), "{told:?}");
}

#[test]
fn reports_are_written_compared_and_self_contained() {
    let (dir, db) = database();
    let target = format!("http://{}/data", serve(&db, Manner::Right));
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (json, html) = (file("r.json"), file("r.html"));
    let all = ["--target", &target, "--requests", "100", "--all", "--out", &json, "--html", &html];
    let output = harness(&all);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for row in ["S1 hot", "S1 cold", "S2 hot", "S3 hot", "S4 hot"] {
        assert!(table.contains(row), "{table}");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(!page.contains("<script") && !page.contains("src="));
    let output = harness(&["--target", &target, "--requests", "100", "--all", "--compare", &json]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("new / old"));
}

#[test]
fn a_cold_row_is_measured_on_caches_that_nobody_has_asked_since_they_were_emptied() {
    let (_dir, db) = database();
    let (ask, asked) = mpsc::channel();
    let target = format!("http://{}/data", serve_and_note(&db, Manner::Right, ask));
    let all = ["--target", &target, "--requests", "30", "--concurrent", "1", "--warmup", "20"];
    let output = harness(&[&all[..], &["--all", "--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked: Vec<String> = asked.try_iter().collect();
    let emptied = asked.iter().rposition(|path| path.ends_with("/reset")).unwrap();
    // The counters are read before and after the measurement, and what is between them is counted.
    let rest = &asked[emptied + 1..];
    let kind = |path: &String| if path.ends_with("/stats") { "stats" } else { "query" };
    let mut kinds: Vec<_> = rest.iter().map(kind).collect();
    let measured = kinds.iter().skip(1).take_while(|kind| **kind == "query").count();
    kinds.dedup();
    assert_eq!((kinds[0], measured), ("stats", 30), "{kinds:?}");
}
