//! A node on a port of its own, and a client to ask it.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use kamaitachi_node::{
    Node,
    config::{Config, Role},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

pub(crate) const SNAPSHOT: &str = "/kamaitachi/api/data/v1/snapshot";
pub(crate) const PERIOD: &str = "/kamaitachi/api/data/v1/period";
pub(crate) const STATS: &str = "/kamaitachi/api/data/v1/stats";
pub(crate) const RESET: &str = "/kamaitachi/api/data/v1/cache/reset";
pub(crate) const INGEST: &str = "/kamaitachi/api/data/v1/ingest";
pub(crate) const INDICATORS: &str = "/kamaitachi/api/data/v1/indicators";
pub(crate) const SELECT_SNAPSHOT: &str = "/kamaitachi/api/selection/v1/snapshot";
pub(crate) const SELECT_PERIOD: &str = "/kamaitachi/api/selection/v1/period";

/// A running node and the directory it lives in.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) client: Client,
    pub(crate) dir: tempfile::TempDir,
}

impl Running {
    /// A master on an empty store.
    pub(crate) async fn master() -> Self {
        Self::with(|_| {}).await
    }

    /// A master on an empty store, with another configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::within(dir, change).await
    }

    /// A master on whatever `dir` holds.
    pub(crate) async fn within(dir: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::embedded(Role::Master, dir.path().join("node.db"));
        config.server.workers = Some(2);
        change(&mut config);
        let node = Node::start(config).await.unwrap();
        let client = Client::to(node.local_addr().to_string());
        Self { node, client, dir }
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.dir.path().join("node.db")
    }

    /// Stops the node and keeps its directory.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        self.node.drain(tokio::time::sleep(Duration::from_secs(10))).await;
        self.dir
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `data` of a success.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        let mut all = self.json();
        assert_eq!(self.status, StatusCode::OK, "{all}");
        assert_eq!((&all["status_code"], &all["status_msg"]), (&json!(0), &json!("success")));
        assert_eq!(all.as_object().unwrap().len(), 3, "{all}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        all["data"].take()
    }

    /// The `data` of a success of data management.
    #[track_caller]
    pub(crate) fn managed(&self) -> Value {
        let mut all = self.json();
        assert_eq!(self.status, StatusCode::OK, "{all}");
        assert_eq!((&all["code"], &all["message"]), (&json!(200), &json!("success")));
        assert_eq!(all.as_object().unwrap().len(), 3, "{all}");
        all["data"].take()
    }

    /// Checks that this is an error of the data API, and that its text holds all `words`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, words: &[&str]) {
        self.refused_with(["status_code", "status_msg"], status, words);
    }

    /// Checks that this is an error of data management, and that its text holds all `words`.
    #[track_caller]
    pub(crate) fn refused_managed(&self, status: u16, words: &[&str]) {
        self.refused_with(["code", "message"], status, words);
    }

    #[track_caller]
    fn refused_with(&self, keys: [&str; 2], status: u16, words: &[&str]) {
        let all = self.json();
        assert_eq!(self.status.as_u16(), status, "{all}");
        assert_eq!(all[keys[0]], json!(status), "{all}");
        assert_eq!(all["data"], Value::Null);
        assert_eq!(all.as_object().unwrap().len(), 3, "{all}");
        let message = all[keys[1]].as_str().unwrap();
        for word in words {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
    }
}

/// Asks one node, with a connection for each request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    addr: String,
}

impl Client {
    pub(crate) fn to(addr: impl Into<String>) -> Self {
        Self { addr: addr.into() }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let explain = |error: hyper::Error| format!("{error:?}");
        let stream = TcpStream::connect(&self.addr).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(explain)?;
        let connection = tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.map_err(explain)?.into_parts();
        let body = body.collect().await.map_err(explain)?.to_bytes();
        connection.abort();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header("host", &self.addr)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, "application/json", body.to_string()).await
    }

    pub(crate) async fn post_text(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", content_type);
        self.send(request.body(Full::new(body.into())).unwrap()).await
    }

    /// Ingests rows and expects success.
    pub(crate) async fn ingest(&self, rows: &[Value]) -> Value {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let path = format!("{INGEST}?create_indicators=true");
        self.post_text(&path, "application/x-ndjson", lines).await.data()
    }
}

/// A row with some values.
pub(crate) fn row(subject: &str, date: i64, data: impl Into<Value>) -> Value {
    json!({"subject": subject, "report_date": date, "data": data.into()})
}

pub(crate) const Q1: i64 = 1_585_612_800; // 2020-03-31
pub(crate) const Q2: i64 = 1_593_475_200; // 2020-06-30
pub(crate) const Q3: i64 = 1_601_424_000; // 2020-09-30
pub(crate) const Q4: i64 = 1_609_372_800; // 2020-12-31

/// Three subjects over a year, with gaps.
pub(crate) fn year_2020() -> Vec<Value> {
    let mut rows = Vec::new();
    for (at, date) in [Q1, Q2, Q3, Q4].into_iter().enumerate() {
        let n = f64::from(u8::try_from(at).unwrap());
        rows.push(row("33:000001", date, json!({"operating_income": 100.5 + n, "parent_holder_net_profit": 10.0 + n, "net_profit": null})));
        rows.push(row("33:000002", date, json!({"operating_income": 200.0 - n, "net_profit": n})));
    }
    let mut named = row("17:600606", Q2, json!({"operating_income": null, "net_profit": -1e-7}));
    for (field, value) in [
        ("name", "绿地控股"),
        ("status", "213002"),
        ("listing_date", "1992-03-27"),
        ("category", "fund"),
        ("topic", "other_pool"),
    ] {
        named[field] = json!(value);
    }
    rows.push(named);
    rows
}
