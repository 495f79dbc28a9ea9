//! Clients that come in crowds, and clients that take their time.

use std::net::{IpAddr, Ipv4Addr, TcpStream};

use serde_json::json;

use crate::{
    node,
    rig::{http, slow, until},
};

const PERIOD: &str = "/kamaitachi/api/data/v1/period";

#[test]
fn a_crowd_of_idle_connections_is_capped_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let limits = [
        ("KAMAITACHI__LIMITS__CONNECTIONS_PER_IP", "300"),
        ("KAMAITACHI__LIMITS__CONNECTIONS", "310"),
    ];
    let node = node::start(&dir.path().join("node.db"), &limits);
    node::ingest(&node, "33:000001", 1..10).data();
    let before = node.status("VmRSS");
    let crowd: Vec<_> = (0..1_000).map(|_| TcpStream::connect(node.addr).unwrap()).collect();
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let ask = |path| http::ask_on(slow::connect_from(other, node.addr), "GET", path, &[], "");
    until("all of the crowd has been let in or refused", || {
        let metrics = ask("/metrics").unwrap().body;
        let refused = r#"kamaitachi_node_connections_refused_total{reason="per_ip"} 700"#;
        metrics.lines().any(|line| line == refused)
    });
    for _ in 0..20 {
        assert_eq!(ask(node::STATS).unwrap().data()["total_records"], 9);
    }
    let refused = crowd.into_iter().rev().find_map(http::read_answer).unwrap();
    refused.refused(503, &["too many connections"]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let grown = node.status("VmRSS").saturating_sub(before);
    println!("{grown} KiB for 300 idle connections");
    assert!(grown < 32 * 1024, "300 idle connections took {grown} KiB");
    until("there is room again", || node.get("/health").status == 200);
}

#[test]
fn who_sends_a_request_byte_by_byte_is_cut_off_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let limits = [
        ("KAMAITACHI__LIMITS__HEAD_TIMEOUT", "300ms"),
        ("KAMAITACHI__LIMITS__BODY_TIMEOUT", "300ms"),
    ];
    let node = node::start(&dir.path().join("node.db"), &limits);
    let head = slow::drip(node.addr, "GET /health HTTP/1.1\r\nx-slow: ").unwrap();
    head.refused(408, &["not received in time"]);
    let post = format!("POST {PERIOD} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    let body = slow::drip(node.addr, &post).unwrap();
    body.refused(400, &["body could not be read to its end"]);
    let timed_out = "kamaitachi_node_connections_timed_out_total";
    assert_eq!(node.metric(&format!("{timed_out}{{phase=\"head\"}}")), 1.0);
    assert_eq!(node.metric(&format!("{timed_out}{{phase=\"body\"}}")), 1.0);
}

#[test]
fn who_does_not_take_an_answer_is_cut_off_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let limits = [("KAMAITACHI__LIMITS__WRITE_TIMEOUT", "300ms")];
    let node = node::start(&dir.path().join("node.db"), &limits);
    node::ingest(&node, "33:000001", 1..60_000).data();
    let ask = json!({"subjects": "33:000001", "from": 1, "to": 60_000}).to_string();
    let length = ask.len();
    let request = format!(
        "POST {PERIOD} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{ask}"
    );
    let taken = slow::sip(node.addr, &request, || {
        let timed_out = "kamaitachi_node_connections_timed_out_total{phase=\"write\"}";
        until("it is cut off", || node.metric(timed_out) == 1.0);
    });
    let whole = node.post(PERIOD, &ask).body.len();
    assert!(taken < whole, "{taken} bytes of {whole}");
}
