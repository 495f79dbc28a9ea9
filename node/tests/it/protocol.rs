//! What holds for every path: slashes, methods, sizes, content types, headers, early answers.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use kamaitachi_node::api::routes::TABLE;
use serde_json::{Value, json};

use crate::support::{Answer, Client, RESET, Running, SNAPSHOT};

async fn ask(client: &Client, method: Method, path: &str) -> Answer {
    client.send(client.request(method, path).body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn every_path_answers_with_and_without_a_slash_and_tells_its_methods() {
    let node = Running::master().await;
    for route in TABLE {
        let path = route.path.replace("{id}", "x");
        for path in [path.clone(), format!("{path}/")] {
            for (method, _) in route.operations {
                let status = ask(&node.client, method.clone(), &path).await.status;
                assert!(
                    status != 404 && status != 405 || path.contains("/get/"),
                    "{method} {path}: {status}"
                );
            }
            let wrong = ask(&node.client, Method::PATCH, &path).await;
            assert_eq!(wrong.status, 405, "{path}");
            assert_eq!(wrong.header("allow"), Some(route.allow));
            let options = ask(&node.client, Method::OPTIONS, &path).await;
            assert_eq!(
                (options.status.as_u16(), options.header("allow")),
                (204, Some(route.allow))
            );
        }
    }
    let whole = ask(&node.client, Method::OPTIONS, "*").await;
    let allow = whole.header("allow").unwrap();
    assert_eq!((whole.status.as_u16(), allow), (204, "GET, HEAD, POST, DELETE, OPTIONS"));
    for path in
        ["/", "/nope", "/kamaitachi/api/data/v1", "/kamaitachi/api/data/v1/recent", "/HEALTH"]
    {
        ask(&node.client, Method::GET, path).await.refused(404, &["openapi.json"]);
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let node = Running::master().await;
    for path in ["/health", "/openapi.json", "/kamaitachi/api/data/v1/indicators"] {
        let got = ask(&node.client, Method::GET, path).await;
        let head = ask(&node.client, Method::HEAD, path).await;
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        assert_eq!(
            head.header("content-length"),
            Some(got.body.len().to_string().as_str()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn answers_tell_their_node_their_length_and_the_id_of_the_request() {
    let node =
        Running::with(|config| config.server.service_addr = Some("node.example:8081".into())).await;
    let ids = ["abc-123_X", "bad id", "", &"x".repeat(65)];
    for (id, echoed) in ids.iter().zip([true, false, false, false]) {
        for path in ["/health", "/nope"] {
            let request = node.client.request(Method::GET, path).header("x-request-id", *id);
            let answer = node.client.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(answer.header("x-kamaitachi-node"), Some("node.example:8081"));
            assert_eq!(answer.header("x-request-id").is_some(), echoed, "{id:?}");
            let length = answer.body.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
        }
    }
}

#[tokio::test]
async fn bodies_have_a_limit_and_are_json() {
    let node = Running::master().await;
    let padded = |size: usize| {
        let body = r#"{"subjects":"33:000001","pad":""}"#;
        body.replace(r#""pad":"""#, &format!(r#""pad":"{}""#, "x".repeat(size - body.len())))
    };
    let json = "application/json";
    node.client.post_text(SNAPSHOT, json, padded(1 << 20)).await.data();
    for size in [(1 << 20) + 1, 4 << 20] {
        node.client.post_text(SNAPSHOT, json, padded(size)).await.refused(413, &["1048576 bytes"]);
    }
    for content_type in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        node.client.post_text(SNAPSHOT, content_type, padded(100)).await.data();
    }
    let absent = node.client.request(Method::POST, SNAPSHOT);
    node.client.send(absent.body(Full::from(padded(100))).unwrap()).await.data();
    node.client.post_text(SNAPSHOT, "text/plain", padded(100)).await.refused(415, &["text/plain"]);
    for (body, word) in [
        ("", "empty"),
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ("subjects=33:000001", "not JSON"),
        (r#"{"subjects":"a"}}"#, "not JSON"),
        (r#"{"subjects":"a","subjects":"b"}"#, "`subjects`"),
    ] {
        node.client.post_text(SNAPSHOT, json, body).await.refused(400, &[word]);
    }
    let garbled: Bytes = Bytes::from_static(b"{\"subjects\":\"\xc3\x28\"}");
    node.client.post_text(SNAPSHOT, json, garbled).await.refused(400, &["UTF-8"]);
    let nested = |levels: usize| {
        format!(r#"{{"subjects":"a","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    node.client.post_text(SNAPSHOT, json, nested(63)).await.data();
    node.client.post_text(SNAPSHOT, json, nested(64)).await.refused(400, &["64 levels"]);
    node.client.post_text(SNAPSHOT, json, nested(100_000)).await.refused(400, &["64 levels"]);
}

#[tokio::test]
async fn resetting_needs_no_body_and_takes_a_flag() {
    let node = Running::master().await;
    let reset =
        async |query: &str| ask(&node.client, Method::POST, &format!("{RESET}{query}")).await;
    for query in ["", "/", "?clear=true", "?clear=false", "?clear"] {
        assert_eq!(reset(query).await.data(), Value::Null, "{query}");
    }
    reset("?clear=maybe").await.refused(400, &["`clear`", "\"maybe\""]);
    reset("?clear=true&clear=true").await.refused(400, &["twice"]);
}

#[tokio::test]
async fn a_ready_node_says_so_and_describes_itself() {
    let node = Running::master().await;
    for path in ["/health", "/healthz"] {
        assert_eq!(ask(&node.client, Method::GET, path).await.json(), json!({"status": "ok"}));
    }
    let ready = ask(&node.client, Method::GET, "/readyz").await;
    assert_eq!((ready.status, ready.json()["status"].clone()), (StatusCode::OK, json!("ready")));
    let described = ask(&node.client, Method::GET, "/openapi.json").await.json();
    assert_eq!(described["openapi"], "3.1.0");
    let metrics = ask(&node.client, Method::GET, "/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for sample in [
        "kamaitachi_node_requests_total{endpoint=\"health\",code=\"200\"} 1",
        "kamaitachi_node_ready 1",
        "kamaitachi_cache_bytes ",
        "kamaitachi_store_revision ",
    ] {
        assert!(text.contains(sample), "{sample} is not in\n{text}");
    }
}
