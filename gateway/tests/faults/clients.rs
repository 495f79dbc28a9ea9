//! Clients that come in crowds and clients that take their time, at the gateway.

use std::{
    net::{IpAddr, Ipv4Addr, TcpStream},
    thread,
    time::Duration,
};

use crate::{
    cluster::{self, Cluster},
    rig::{http, process::run, slow, until},
};

const PERIOD: &str = "/data/kamaitachi/api/data/v1/period";

#[test]
fn who_sends_a_request_byte_by_byte_is_cut_off_by_the_gateway() {
    let limits = [
        ("KAMAITACHI__LIMITS__HEAD_TIMEOUT", "300ms"),
        ("KAMAITACHI__LIMITS__BODY_TIMEOUT", "300ms"),
    ];
    let cluster = Cluster::start(&limits);
    let gateway = cluster.gateway.addr;
    let head = slow::drip(gateway, "GET /health HTTP/1.1\r\nx-slow: ").unwrap();
    head.refused(408, &["not received in time"]);
    let post = format!("POST {PERIOD} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
    let body = slow::drip(gateway, &post).unwrap();
    assert!(matches!(body.status, 400 | 408), "{body:?}");
    assert_eq!(cluster::read(gateway, 1).unwrap().status, 200);
}

#[test]
fn a_crowd_at_the_gateway_is_capped_and_told_so_and_others_are_served() {
    let limits = [
        ("KAMAITACHI__LIMITS__CONNECTIONS_PER_IP", "200"),
        ("KAMAITACHI__LIMITS__CONNECTIONS", "210"),
    ];
    let cluster = Cluster::start(&limits);
    let gateway = cluster.gateway.addr;
    let crowd: Vec<_> = (0..600).map(|_| TcpStream::connect(gateway).unwrap()).collect();
    let refused = crowd.into_iter().rev().find_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        http::read_answer(stream)
    });
    let refused = refused.unwrap();
    refused.refused(503, &["too many connections"]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let held: Vec<_> = (0..200).map(|_| TcpStream::connect(gateway).unwrap()).collect();
    let other = slow::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), gateway);
    assert_eq!(http::ask_on(other, "GET", "/health", &[], "").unwrap().status, 200);
    drop(held);
    until("there is room again", || {
        cluster::read(gateway, 1).is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_gateway_without_descriptors_rests_and_recovers() {
    // On a busy machine those that wait have long waited when their turn comes.
    let cluster = Cluster::start(&[("KAMAITACHI__LIMITS__HEAD_TIMEOUT", "10m")]);
    let gateway = &cluster.gateway;
    assert_eq!(cluster::read(gateway.addr, 1).unwrap().status, 200);
    let limit = |files: u32| {
        run("prlimit", &["--pid", &gateway.pid().to_string(), &format!("--nofile={files}:")]);
    };
    limit(3);
    let waiting: Vec<_> = (0..50).map(|_| TcpStream::connect(gateway.addr).unwrap()).collect();
    until("it fails to accept", || gateway.told("cannot accept connections") >= 1);
    let before = gateway.ticks();
    thread::sleep(Duration::from_secs(1));
    let spent = gateway.ticks() - before;
    println!("{spent} % of a processor spent on accepting");
    assert!(spent <= 30, "it spent {spent} % of a processor on trying");
    limit(1_024);
    for stream in waiting {
        assert_eq!(http::ask_on(stream, "GET", "/health", &[], "").unwrap().status, 200);
    }
    until("reads are answered again", || {
        (0..8).all(|n| cluster::read(gateway.addr, n).is_some_and(|answer| answer.status == 200))
    });
}
