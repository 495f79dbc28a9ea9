//! What the gateway answers itself.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Node, Reply, Rig, Seen, configured, nobody, until};

const STATS: &str = "/kamaitachi/api/data/v1/stats";
const RESET: &str = "/kamaitachi/api/data/v1/cache/reset";

async fn with_cache(entries: u64, hits: u64, misses: u64) -> Node {
    Node::scripted(move |seen: &Seen| {
        assert!(seen.target.starts_with("/kamaitachi/api/data/v1/"), "{}", seen.target);
        let cache = json!({"entries": entries, "hits": hits, "misses": misses});
        let data = json!({"stock_count": 5, "cache": cache});
        Reply::ok(json!({"status_code": 0, "status_msg": "success", "data": data}).to_string())
    })
    .await
}

#[tokio::test]
async fn stats_add_up_what_nodes_say_and_name_who_is_silent() {
    let (a, b) = (with_cache(10, 340, 1).await, with_cache(5, 4, 0).await);
    let hung = Node::scripted(|_| Reply::ok("").after(Duration::from_secs(60))).await;
    let gone = nobody().await;
    let rig = Rig::with(configured(&[a.addr, b.addr, hung.addr, gone], None, ""));
    let began = Instant::now();
    let answer = rig.get(STATS).await;
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&took), "{took:?}");
    let body = answer.json();
    assert_eq!((&body["status_code"], &body["status_msg"]), (&0.into(), &"success".into()));
    let data = &body["data"];
    let [a, b, hung, gone] = [a.addr, b.addr, hung.addr, gone].map(|addr| addr.to_string());
    assert_eq!(data["nodes"], json!([a, b, hung, gone]));
    assert_eq!(data["unreachable"], json!([hung, gone]));
    assert_eq!(
        data["aggregate"],
        json!({"entries": 15, "hits": 344, "misses": 1, "hit_rate": "99.71%"})
    );
    assert_eq!(data["per_node"].as_array().unwrap().len(), 2);
    assert_eq!(data["per_node"][0]["node"], a);
    assert_eq!(data["per_node"][0]["cache"]["hits"], 340);
    assert_eq!(data["per_node"][1]["stock_count"], 5);
}

#[tokio::test]
async fn a_reset_goes_to_every_node_with_its_query() {
    let (a, b) = (with_cache(0, 0, 0).await, with_cache(0, 0, 0).await);
    let rig = Rig::start(&[&a, &b], "");
    let answer = rig.post(&format!("{RESET}?clear=true"), "").await;
    assert_eq!(
        answer.json(),
        json!({"status_code": 0, "status_msg": "Sent reset command to 2 of 2 nodes.", "data": null})
    );
    for node in [&a, &b] {
        let seen = node.last();
        assert_eq!(
            (seen.method.as_str(), &*seen.target),
            ("POST", &*format!("{RESET}?clear=true"))
        );
    }
    let gone = b.addr;
    drop(b);
    let answer = rig.post(&format!("{RESET}/"), "").await.json();
    assert_eq!(answer["status_msg"], "Sent reset command to 1 of 2 nodes.");
    assert_eq!(answer["data"], json!({"unreachable": [gone.to_string()]}));
    assert_eq!(a.last().target, RESET);
}

#[tokio::test]
async fn health_lists_the_nodes() {
    let (a, b) = (Node::start().await, Node::start().await);
    let rig = Rig::start(&[&a, &b], "");
    let nodes = [a.addr.to_string(), b.addr.to_string()];
    let health = json!({"status": "ok", "nodes": nodes, "count": 2});
    assert_eq!(rig.get("/health").await.json(), health);
    assert_eq!(rig.get("/health/").await.json(), health);
    assert_eq!(rig.get("/healthz").await.json(), json!({"status": "ok"}));
    let ready = json!({"status": "ready", "nodes": 2, "nodes_up": 2});
    assert_eq!(rig.get("/readyz").await.json(), ready);
    assert_eq!(rig.admin("/readyz").await.json(), ready);
}

#[tokio::test]
async fn without_a_node_that_is_up_it_is_not_ready() {
    let rig = Rig::start(&[], "");
    assert_eq!(rig.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.get("/healthz").await.status, StatusCode::OK);

    let dead = nobody().await;
    let health = "[health]\nenabled = true\ninterval = '10ms'\n";
    let rig = Rig::with(configured(&[dead], None, health));
    // From the first moment on, and not only once the dead node is noticed.
    assert_eq!(rig.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    until("the dead node is noticed", || async {
        let ready = rig.get("/readyz").await;
        assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
        ready.json()["status"] == "no node is up"
    })
    .await;
}

#[tokio::test]
async fn it_is_ready_when_a_node_has_passed_its_first_probe_or_answered_a_request() {
    let live = Node::scripted(|seen| {
        let hangs = Duration::from_secs(u64::from(seen.target == "/readyz") * 600);
        Reply::ok("ok").after(hangs)
    });
    let (dead, live) = (nobody().await, live.await);
    let rare = "[health]\nenabled = true\ninterval = '1m'\ntimeout = '1m'\n";
    let rig = Rig::with(configured(&[dead, live.addr], None, rare));
    let ready = rig.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    let body = json!({"status": "no node has been reached yet", "nodes": 2, "nodes_up": 0});
    assert_eq!(ready.json(), body);
    until("a request is answered", || async { rig.get("/data/x").await.status == StatusCode::OK })
        .await;
    assert_eq!(rig.get("/readyz").await.json()["status"], "ready");

    let node = Node::start().await;
    let rig = Rig::with(configured(&[dead, node.addr], None, rare));
    until("the first probe has passed, long before the second", || async {
        rig.get("/readyz").await.status == StatusCode::OK
    })
    .await;
    assert_eq!(rig.get("/readyz").await.json()["nodes_up"], 1);
}

#[tokio::test]
async fn metrics_are_on_the_admin_listener_alone_and_name_no_clients_words() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "[routes.period]\nrate = 1\nburst = 1\n");
    for path in
        ["/data/kamaitachi/api/data/v1/period", "/data/kamaitachi/api/data/v1/period", "/evil"]
    {
        rig.post(path, "{}").await;
    }
    rig.get("/health").await;
    assert_eq!(rig.get("/metrics").await.status, StatusCode::NOT_FOUND);
    let answer = rig.admin("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    let node = node.addr;
    for line in [
        "kamaitachi_gateway_requests_total{route=\"period\",method=\"POST\",code=\"200\",reason=\"answered\"} 1",
        "kamaitachi_gateway_requests_total{route=\"period\",method=\"POST\",code=\"429\",reason=\"rate_limited\"} 1",
        "kamaitachi_gateway_requests_total{route=\"none\",method=\"POST\",code=\"404\",reason=\"no_route\"} 1",
        "kamaitachi_gateway_requests_total{route=\"own\",method=\"GET\",code=\"200\",reason=\"answered\"} 1",
        "kamaitachi_gateway_request_duration_seconds_count{route=\"period\"} 2",
        "kamaitachi_gateway_request_duration_seconds_bucket{le=\"30.0\",route=\"period\"} 2",
        "kamaitachi_gateway_request_duration_seconds_bucket{le=\"+Inf\",route=\"period\"} 2",
        &format!("kamaitachi_breaker_state{{breaker=\"period@{node}\"}} 0"),
        &format!("kamaitachi_node_up{{node=\"{node}\"}} 1"),
        &format!("kamaitachi_upstream_inflight{{node=\"{node}\"}} 0"),
        &format!("kamaitachi_ring_share_ratio{{node=\"{node}\"}} 1.0"),
        "kamaitachi_ring_members 1",
        "kamaitachi_ratelimit_refused_total{limit=\"period\"} 1",
        "kamaitachi_connections_open ",
        "kamaitachi_build_info{version=\"0.1.0\"} 1",
    ] {
        assert!(text.lines().any(|known| known.starts_with(line)), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("evil"));
}

#[tokio::test]
async fn the_admin_listener_serves_operators_and_no_data() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    for path in ["/health", "/healthz", "/readyz", "/monitor/circuitbreaker", "/monitor/status"] {
        assert_eq!(rig.admin(path).await.status, StatusCode::OK, "{path}");
    }
    let data = rig.admin("/data/v1/get/x").await;
    assert_eq!(data.status, StatusCode::NOT_FOUND);
    assert_eq!(node.served(), 0);
}

#[tokio::test]
async fn the_monitoring_pages_come_in_their_envelope() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    let status = rig.get("/monitor/status").await.json();
    assert_eq!((&status["code"], &status["message"]), (&200.into(), &"success".into()));
    assert_eq!(status["data"]["nodes"][0]["node"], node.addr.to_string());
    let breakers = rig.get("/monitor/circuitbreaker").await.json();
    assert_eq!((&breakers["code"], &breakers["message"]), (&200.into(), &"success".into()));
    let names: Vec<_> = breakers["data"].as_object().unwrap().keys().cloned().collect();
    let routes = ["other", "period", "recent", "selection", "snapshot", "tables"];
    assert_eq!(names, routes.map(|route| format!("{route}@{}", node.addr)));
}

#[tokio::test]
async fn the_contract_names_every_page() {
    let rig = Rig::start(&[], "");
    let contract = rig.get("/openapi.json").await.json();
    assert_eq!(contract["openapi"], "3.1.0");
    for page in kamaitachi_gateway::own::PAGES {
        let operations = contract["paths"][page.path()].as_object().unwrap();
        assert!(operations.contains_key("get") || operations.contains_key("post"), "{page:?}");
    }
}
