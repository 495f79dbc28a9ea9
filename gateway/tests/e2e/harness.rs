//! Scripted nodes, a gateway in front of them, and a client.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1, server, service::service_fn};
use hyper_util::rt::TokioIo;
use kamaitachi_gateway::{
    config::{self, Config},
    gateway::{Gateway, Running},
};
use kamaitachi_serve::{config::Env, shutdown::Drain};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as a node saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

/// A node that does as it is told. Stops accepting when dropped.
pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What a node does with a request.
pub(crate) type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// What a node answers, after how long.
pub(crate) struct Reply {
    pub(crate) response: Response<Full<Bytes>>,
    pub(crate) after: Duration,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self::status(StatusCode::OK, body)
    }

    pub(crate) fn status(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        Self { response, after: Duration::ZERO }
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

impl Node {
    /// A node that answers `ok` to everything.
    pub(crate) async fn start() -> Self {
        Self::scripted(|_| Reply::ok("ok")).await
    }

    /// A node that answers `script`.
    pub(crate) async fn scripted(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Arc::new(script))
    }

    pub(crate) fn on(listener: TcpListener, script: Script) -> Self {
        let addr = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let served = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(accept(listener, script, Arc::clone(&seen), Arc::clone(&served)));
        Self { addr, seen, served, task }
    }

    /// How many requests it has answered, probes not counted.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Relaxed)
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().last().cloned().expect("the node has seen a request")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
    served: Arc<AtomicUsize>,
) {
    // Connections end with the node: aborting this task drops the set.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, seen, served) = (Arc::clone(&script), Arc::clone(&seen), Arc::clone(&served));
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (script, seen, served) = (&script, &seen, &served);
                async move {
                    let (head, body) = request.into_parts();
                    let target =
                        head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
                    let body = body.collect().await?.to_bytes();
                    let request = Seen { method: head.method, target, headers: head.headers, body };
                    let reply = script(&request);
                    seen.lock().push(request);
                    tokio::time::sleep(reply.after).await;
                    served.fetch_add(1, Relaxed);
                    Ok::<_, hyper::Error>(reply.response)
                }
            });
            let _ = server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A configuration for tests: free ports, one worker, no probes; then `more`.
pub(crate) fn configured(nodes: &[SocketAddr], master: Option<SocketAddr>, more: &str) -> Config {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    let master = master.map(|addr| addr.to_string()).unwrap_or_default();
    let env = [
        ("KAMAITACHI__SERVER__PORT", "0".to_owned()),
        ("KAMAITACHI__SERVER__WORKERS", "1".to_owned()),
        ("KAMAITACHI__ADMIN__PORT", "0".to_owned()),
        ("KAMAITACHI__HEALTH__ENABLED", "false".to_owned()),
        ("KAMAITACHI__UPSTREAM__NODES", nodes.join(",")),
        ("KAMAITACHI__UPSTREAM__MASTER", master),
    ];
    // The environment wins over a file, and `more` is to win over these.
    let given: toml::Table = more.parse().unwrap();
    let is_given = |name: &str| {
        let mut keys = name.split("__").skip(1).map(str::to_lowercase);
        let section = keys.next().and_then(|section| given.get(&section));
        section.zip(keys.next()).is_some_and(|(section, key)| section.get(key).is_some())
    };
    let env = env.into_iter().filter(|(name, _)| !is_given(name));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, more).unwrap();
    load(&file, &Env::from_pairs(env))
}

fn load(file: &Path, env: &Env) -> Config {
    config::load(Some(file), env).unwrap_or_else(|error| panic!("{}", error.report()))
}

/// A gateway under test. Stops when dropped.
pub(crate) struct Rig {
    pub(crate) running: Running,
    pub(crate) drain: Drain,
}

impl Rig {
    /// A gateway in front of these nodes, with `more` in its configuration.
    pub(crate) fn start(nodes: &[&Node], more: &str) -> Self {
        let addrs: Vec<_> = nodes.iter().map(|node| node.addr).collect();
        Self::with(configured(&addrs, None, more))
    }

    pub(crate) fn with(config: Config) -> Self {
        let drain = Drain::new();
        let running = Gateway::bind(config, drain.clone()).unwrap().start().unwrap();
        Self { running, drain }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.running.local_addr()
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        send(self.addr(), request(Method::GET, target, "")).await
    }

    pub(crate) async fn post(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        send(self.addr(), request(Method::POST, target, body)).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        send(self.addr(), request).await
    }

    pub(crate) async fn admin(&self, target: &str) -> Answer {
        send(self.running.admin_addr(), request(Method::GET, target, "")).await
    }

    /// The page of one breaker.
    pub(crate) async fn breaker(&self, name: &str) -> Value {
        self.get("/monitor/circuitbreaker").await.json()["data"][name].clone()
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn node(&self) -> &str {
        self.header("x-kamaitachi-node")
    }
}

pub(crate) fn request(
    method: Method,
    target: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(target).header("host", "gateway.test");
    builder.body(Full::new(body.into())).unwrap()
}

pub(crate) async fn connect(addr: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let mut sender = connect(addr).await;
    whole(sender.send_request(request).await.unwrap()).await
}

pub(crate) async fn whole(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

/// Waits until `holds`, for a minute at most.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waited).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

/// A body that is routed by `subject`.
pub(crate) fn about(subject: &str) -> String {
    json!({ "subjects": subject }).to_string()
}

/// A subject that this node of a ring of `nodes` owns.
pub(crate) fn owned_by(node: SocketAddr, nodes: &[SocketAddr]) -> String {
    use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Ring, Spread};
    let names = nodes.iter().map(ToString::to_string);
    let ring = Ring::new(names, DEFAULT_REPLICAS, Spread::Plain);
    let owns = |key: &String| {
        let owner = ring.owner(key.as_bytes()).and_then(|owner| ring.name(owner));
        owner == Some(node.to_string().as_str())
    };
    (1..).map(|i| format!("33:{i:06}")).find(owns).unwrap()
}
