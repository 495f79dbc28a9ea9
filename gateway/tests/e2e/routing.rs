//! Which request goes where, and as what.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Ring, Spread};

use crate::harness::{Node, Rig, about, configured, request};

/// A gateway with one node and a master, so that it shows who got a request.
async fn master_and_slave() -> (Rig, Node, Node) {
    let (master, slave) = (Node::start().await, Node::start().await);
    let rig = Rig::with(configured(&[slave.addr], Some(master.addr), ""));
    (rig, master, slave)
}

#[tokio::test]
async fn default_routes_send_each_path_where_it_belongs() {
    let (rig, master, slave) = master_and_slave().await;
    // What is sent, who gets it, as what.
    let table = [
        ("/data/v1/save?id=1", &master, "/data/v1/save?id=1"),
        ("/data/v1/delete/33:000001?tableId=1", &master, "/data/v1/delete/33:000001?tableId=1"),
        ("/data/v1/get/33:000001?tableId=1", &slave, "/data/v1/get/33:000001?tableId=1"),
        ("/data/v1/search", &slave, "/data/v1/search"),
        ("/data/kamaitachi/api/data/v1/snapshot", &slave, "/kamaitachi/api/data/v1/snapshot"),
        ("/data/kamaitachi/api/data/v1/period", &slave, "/kamaitachi/api/data/v1/period"),
        ("/data/kamaitachi/api/data/v1/recent", &slave, "/kamaitachi/api/data/v1/recent"),
        ("/data/kamaitachi/api/data/v1/stats", &slave, "/kamaitachi/api/data/v1/stats"),
        ("/data/kamaitachi/api/data/v1/cache/reset", &slave, "/kamaitachi/api/data/v1/cache/reset"),
        ("/data/kamaitachi/api/selection/v1/period", &slave, "/kamaitachi/api/selection/v1/period"),
        (
            "/data/kamaitachi/api/data/v1/ingest?create_indicators=true",
            &master,
            "/kamaitachi/api/data/v1/ingest?create_indicators=true",
        ),
        ("/data/kamaitachi/api/data/v1/indicators", &master, "/kamaitachi/api/data/v1/indicators"),
        ("/data/health", &slave, "/health"),
        ("/data/x%2Fy/%E4%B8%AD?a=%20b&c=/../d", &slave, "/x%2Fy/%E4%B8%AD?a=%20b&c=/../d"),
        ("/data//x", &slave, "//x"),
    ];
    for (target, node, seen_as) in table {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let slashed = format!("{path}/{}{query}", if query.is_empty() { "" } else { "?" });
        let seen_slashed = {
            let (path, query) = seen_as.split_once('?').unwrap_or((seen_as, ""));
            format!("{path}/{}{query}", if query.is_empty() { "" } else { "?" })
        };
        for (target, seen_as) in [(target, seen_as), (&*slashed, &*seen_slashed)] {
            let answer = rig.post(target, "{}").await;
            assert_eq!(answer.status, StatusCode::OK, "{target}");
            assert_eq!(answer.node(), node.addr.to_string(), "{target}");
            assert_eq!(node.last().target, seen_as);
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_404_and_bad_ones_400_in_both_envelopes() {
    let (rig, ..) = master_and_slave().await;
    for (target, status) in [
        ("/", 404),
        ("/nothing", 404),
        ("/database", 404),
        ("/kamaitachi/api/data/v1/snapshot", 404),
        ("/metrics", 404),
        ("/data/../health", 400),
        ("/data/%2e%2e/health", 400),
        ("/data/a%00", 400),
    ] {
        let answer = rig.get(target).await;
        assert_eq!(answer.status.as_u16(), status, "{target}");
        let body = answer.json();
        assert_eq!((&body["status_code"], &body["code"]), (&status.into(), &status.into()));
        assert_eq!(body["status_msg"], body["message"]);
        assert!(body["data"].is_null() && body.get("data").is_some(), "{body}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test]
async fn what_nodes_say_to_each_other_is_404_by_whichever_route() {
    let (master, slave) = (Node::start().await, Node::start().await);
    let more = "[routes.all]\npaths = ['/all/*']\nstrip_prefix = '/all'\n\
                [routes.plain]\npaths = ['/internal/*']\ntarget = 'master'\n";
    let rig = Rig::with(configured(&[slave.addr], Some(master.addr), more));
    for target in [
        "/data/internal/replication/v1/changes",
        "/data/internal/replication/v1/copy",
        "/data/internal/cache/pull",
        "/data/internal/cache/push/",
        "/data/internal",
        "/data//internal/cache/pull?x=1",
        "/data/%69nternal/cache/pull",
        "/all/internal/cache/pull",
        "/internal/cache/pull",
        "/data/kamaitachi.group.v1.Sync/Apply",
        "/all/kamaitachi.group.v1.Cache/Clear",
        "/all//%6Bamaitachi.group.v1.Cache/Clear",
    ] {
        let answer = rig.post(target, "{}").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{target}");
        let body = answer.json();
        assert_eq!((&body["status_code"], &body["data"]), (&404.into(), &().into()), "{target}");
    }
    assert_eq!((master.served(), slave.served()), (0, 0));
    assert_eq!(rig.post("/data/x/internal/cache", "{}").await.status, StatusCode::OK);
    assert_eq!(slave.served(), 1);
}

#[tokio::test]
async fn own_pages_refuse_other_methods_and_say_which_are_allowed() {
    let rig = Rig::start(&[], "");
    for (path, method, allow) in [
        ("/health", Method::POST, "GET, HEAD"),
        ("/monitor/status/", Method::DELETE, "GET, HEAD"),
        ("/kamaitachi/api/data/v1/cache/reset", Method::GET, "POST"),
    ] {
        let answer = rig.send(request(method, path, "")).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("allow"), allow);
        assert_eq!(answer.json()["code"], 405);
    }
}

#[tokio::test]
async fn keys_are_spread_as_the_ring_says_and_stay_where_they_are() {
    let nodes = [Node::start().await, Node::start().await, Node::start().await];
    let addrs: Vec<_> = nodes.iter().map(|node| node.addr).collect();
    let rig = Rig::with(configured(&addrs, None, "[server]\nworkers = 2\n"));
    let names = addrs.iter().map(ToString::to_string);
    let ring = Ring::new(names, DEFAULT_REPLICAS, Spread::Plain);
    let mut share = BTreeMap::new();
    for i in 0..60 {
        let subject = format!("33:{i:06}");
        let owner = ring.name(ring.owner(subject.as_bytes()).unwrap()).unwrap();
        for body in [about(&subject), format!(r#"{{"subjects":[" {subject} ","x:1"]}}"#)] {
            let answer = rig.post("/data/kamaitachi/api/data/v1/snapshot", body).await;
            assert_eq!(answer.node(), owner, "{subject}");
        }
        *share.entry(owner.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(share.len(), 3, "{share:?}");
}

#[tokio::test]
async fn the_key_is_looked_for_in_the_order_of_the_contract() {
    let nodes = [Node::start().await, Node::start().await];
    let addrs: Vec<_> = nodes.iter().map(|node| node.addr).collect();
    let rig = Rig::with(configured(&addrs, None, ""));
    let [first, second] = [addrs[0], addrs[1]].map(|addr| crate::harness::owned_by(addr, &addrs));
    let post = "/data/kamaitachi/api/selection/v1/snapshot";
    for (body, owner) in [
        (format!(r#"{{"topic":"{second}","subjects":"{first}"}}"#), addrs[0]),
        (format!(r#"{{"selection":{{"subject":"{second}"}},"topic":"{first}"}}"#), addrs[0]),
        (
            format!(
                r#"{{"subjectIds":["{second}"],"selection":{{"subject":"{first},{second}"}}}}"#
            ),
            addrs[0],
        ),
        (format!(r#"{{"tableId":"1","subjectIds":["{second}","{first}"]}}"#), addrs[1]),
    ] {
        let answer = rig.post(post, body.clone()).await;
        assert_eq!(answer.node(), owner.to_string(), "{body}");
    }
    for (subject, owner) in [(&first, addrs[0]), (&second, addrs[1])] {
        let answer = rig.get(&format!("/data/v1/get/{subject}?tableId=1")).await;
        assert_eq!(answer.node(), owner.to_string());
        let escaped = subject.replace(':', "%3A");
        let answer = rig.get(&format!("/data/v1/get/{escaped}/?tableId=1")).await;
        assert_eq!(answer.node(), owner.to_string());
    }
    // Without any of them, the client's address.
    let names = addrs.iter().map(ToString::to_string);
    let ring = Ring::new(names, DEFAULT_REPLICAS, Spread::Plain);
    let owner = ring.name(ring.owner(b"127.0.0.1").unwrap()).unwrap();
    assert_eq!(rig.get("/data/anything").await.node(), owner);
    assert_eq!(rig.post("/data/anything", "{}").await.node(), owner);
}

#[tokio::test]
async fn a_question_about_the_gateway_as_a_whole_is_answered_by_itself() {
    let (rig, master, slave) = master_and_slave().await;
    let answer = rig.send(request(Method::OPTIONS, "*", "")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    let other = rig.send(request(Method::GET, "*", "")).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert!(master.seen.lock().is_empty() && slave.seen.lock().is_empty());
}
