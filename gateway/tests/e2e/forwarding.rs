//! What a proxy owes to both sides.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Node, Reply, Rig, request, whole};

/// What the gateway answers to these bytes, until it closes.
async fn raw(rig: &Rig, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(rig.addr()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(10), read).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn nodes_see_who_asks_and_nothing_that_ends_here() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    let mut sent = request(Method::POST, "/data/x", "{}");
    for (name, value) in [
        ("connection", "x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-mine", "kept"),
    ] {
        sent.headers_mut().insert(name, value.parse().unwrap());
    }
    rig.send(sent).await;
    let seen = node.last().headers;
    let get = |name: &str| seen.get(name).map(|value| value.to_str().unwrap());
    for name in ["x-private", "keep-alive", "te", "proxy-authorization", "forwarded", "x-real-ip"] {
        assert_eq!(get(name), None, "{name} was passed on");
    }
    assert_eq!(get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(get("x-forwarded-proto"), Some("http"));
    assert_eq!(get("x-forwarded-host"), Some("gateway.test"));
    assert_eq!(get("via"), Some("1.1 kamaitachi"));
    assert_eq!(get("x-mine"), Some("kept"));
    assert!(get("traceparent").unwrap().starts_with("00-0af7651916cd43dd"));
    assert_eq!(node.last().body, "{}");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "[forward]\ntrusted_proxies = ['127.0.0.0/8']\nvia = 'edge'\n");
    let mut sent = request(Method::GET, "/data/x", "");
    for (name, value) in [
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
    ] {
        sent.headers_mut().insert(name, value.parse().unwrap());
    }
    rig.send(sent).await;
    let seen = node.last().headers;
    assert_eq!(seen["x-forwarded-for"], "6.6.6.6, 203.0.113.9, 127.0.0.1");
    assert_eq!(seen["x-forwarded-proto"], "https");
    assert_eq!(seen["x-forwarded-host"], "shop.example");
    assert_eq!(seen["via"], "1.1 edge");
}

#[tokio::test]
async fn answers_lose_what_was_for_the_gateway_and_name_the_node() {
    let node = Node::scripted(|_| {
        let mut reply = Reply::ok("{}");
        for (name, value) in [
            ("connection", "x-private"),
            ("x-private", "1"),
            ("x-kamaitachi-cache", "partial"),
            ("x-kamaitachi-node", "somebody-else"),
            ("x-kamaitachi-revision", "7"),
        ] {
            reply.response.headers_mut().insert(name, value.parse().unwrap());
        }
        reply
    })
    .await;
    let rig = Rig::start(&[&node], "");
    let answer = rig.get("/data/x").await;
    assert_eq!(answer.header("x-private"), "");
    assert_eq!(answer.header("x-kamaitachi-cache"), "partial");
    assert_eq!(answer.header("x-kamaitachi-revision"), "7");
    assert_eq!(answer.node(), node.addr.to_string());
    assert_eq!(answer.header("via"), "1.1 kamaitachi");
}

#[tokio::test]
async fn request_ids_are_kept_or_made_and_the_node_sees_the_same() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    let with = |id: &str| {
        let mut sent = request(Method::GET, "/data/x", "");
        sent.headers_mut().insert("x-request-id", id.parse().unwrap());
        sent
    };
    let answer = rig.send(with("mine-1")).await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(node.last().headers["x-request-id"], "mine-1");
    for sent in [with("not good"), request(Method::GET, "/data/x", "")] {
        let answer = rig.send(sent).await;
        let made = answer.header("x-request-id");
        assert!(!made.is_empty() && made != "not good");
        assert_eq!(node.last().headers["x-request-id"], made);
    }
    // Also where no node was asked.
    let mut refused = with("mine-2");
    *refused.uri_mut() = "/nothing".parse().unwrap();
    assert_eq!(rig.send(refused).await.header("x-request-id"), "mine-2");
}

#[tokio::test]
async fn a_request_without_one_host_is_refused() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    for head in [
        "GET /data/x HTTP/1.1\r\n",
        "GET /data/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
        "GET /data/x HTTP/1.1\r\nhost: a/b\r\n",
        "POST /data/x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n",
        "POST /data/x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n",
    ] {
        let answer = raw(&rig, format!("{head}connection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}\n{answer}");
        assert!(answer.contains("\"code\":400"), "{answer}");
    }
    assert_eq!(node.served(), 0);
}

#[tokio::test]
async fn http_2_is_spoken_with_clients() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    let stream = TcpStream::connect(rig.addr()).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let requests: Vec<_> = (0..20)
        .map(|i| {
            let uri = format!("http://gateway.test/data/x{i}");
            let request = Request::post(uri).body(Full::new(Bytes::from("{}"))).unwrap();
            sender.send_request(request)
        })
        .collect();
    for answer in requests {
        let answer = whole(answer.await.unwrap()).await;
        assert_eq!((answer.status, answer.node()), (StatusCode::OK, &*node.addr.to_string()));
        assert_eq!(answer.header("via"), "1.1 kamaitachi");
    }
    let seen = node.last().headers;
    assert_eq!(
        (&seen["host"], &seen["via"]),
        (&"gateway.test".parse().unwrap(), &"2 kamaitachi".parse().unwrap())
    );
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let node = Node::start().await;
    let rig = Rig::start(&[&node], "");
    for path in ["/health", "/data/x"] {
        let answer = rig.send(request(Method::HEAD, path, "")).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0), "{path}");
    }
}

#[tokio::test]
async fn trace_and_connect_are_refused() {
    let rig = Rig::start(&[], "");
    for method in [Method::TRACE, Method::CONNECT] {
        let target = if method == Method::CONNECT { "other.host:443" } else { "/data/x" };
        let answer = rig.send(request(method.clone(), target, "")).await;
        assert!(answer.status.is_client_error(), "{method}: {}", answer.status);
    }
}
