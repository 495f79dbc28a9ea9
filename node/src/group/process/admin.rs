//! Metrics and health over HTTP.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use kamaitachi_serve::{
    envelope,
    exposition::Exposition,
    server::{Handle, Incoming, Server},
};
use prometheus_client::registry::Registry;
use tower::service_fn;

use crate::group::{Peers, metrics::PeersCollector};

/// Whether a server is to be sent requests. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(super) fn set(&self, ready: bool) {
        self.0.store(ready, Relaxed);
    }

    /// Whether it is.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}

type Answer = Response<Full<bytes::Bytes>>;

pub(super) fn start(
    address: SocketAddr,
    peers: &Peers,
    readiness: &Readiness,
) -> io::Result<Handle> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(PeersCollector::new(peers)));
    let (registry, readiness) = (Arc::new(registry), readiness.clone());
    Server::new(address).name("group-admin").workers(1).start(move |_worker| {
        let (registry, readiness) = (Arc::clone(&registry), readiness.clone());
        move |_connection| {
            let (registry, readiness) = (Arc::clone(&registry), readiness.clone());
            service_fn(move |request: Request<Incoming>| {
                let answer = answer(&request, &registry, &readiness);
                async move { Ok::<_, Infallible>(answer) }
            })
        }
    })
}

fn answer(request: &Request<Incoming>, registry: &Registry, readiness: &Readiness) -> Answer {
    let path = request.uri().path().trim_end_matches('/');
    let known = matches!(path, "/metrics" | "/health" | "/healthz" | "/readyz");
    if known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = json(StatusCode::METHOD_NOT_ALLOWED, envelope(405, "only GET and HEAD"));
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => metrics(request, registry),
        "/readyz" if !readiness.get() => {
            json(StatusCode::SERVICE_UNAVAILABLE, envelope(503, "not ready"))
        }
        _ if known => json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned()),
        _ => json(StatusCode::NOT_FOUND, envelope(404, "no such path")),
    }
}

fn metrics(request: &Request<Incoming>, registry: &Registry) -> Answer {
    let format = Exposition::of_accept(request.headers().get(header::ACCEPT));
    match format.render(registry) {
        Ok(text) => {
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(header::CONTENT_TYPE, format.content_type());
            response
        }
        Err(_) => json(StatusCode::INTERNAL_SERVER_ERROR, envelope(500, "metrics can't be told")),
    }
}

fn json(status: StatusCode, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
