//! What the gateway answers itself: health, monitoring, and questions to all nodes at once.

mod fan_out;
mod page;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use http::{
    Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use kamaitachi_layers::body::Body;
use kamaitachi_serve::exposition::Exposition;
use serde_json::{Value, json};
use tower::{BoxError, Service};

pub use fan_out::ANSWER_WITHIN;
pub use page::{ADMIN_PAGES, PAGES, PATHS, Page};

use crate::{
    aggregate,
    config::NodeSource,
    discovery,
    gateway::Shared,
    monitor, respond,
    stack::RequestBody,
    upstream::{Connector, Node},
};

/// The contract of what the gateway adds to the nodes'.
const OPENAPI: &str = include_str!("openapi.json");

/// Answers one page.
#[derive(Clone, Debug)]
pub struct Own<C> {
    page: Page,
    shared: Arc<Shared>,
    client: C,
}

impl<C> Own<C> {
    /// The service for `page`, which asks the nodes through `client`.
    pub fn new(page: Page, shared: Arc<Shared>, client: C) -> Self {
        Self { page, shared, client }
    }
}

impl<C, B> Service<Request<B>> for Own<C>
where
    C: Connector<RequestBody> + Clone + 'static,
{
    type Response = Response<Body<C::Body>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let query = request.uri().query().map(str::to_owned);
        let format = Exposition::of_accept(request.headers().get(ACCEPT));
        let own = self.clone();
        Box::pin(async move { Ok(own.answer(query.as_deref(), format).await) })
    }
}

impl<C: Connector<RequestBody>> Own<C> {
    async fn answer(&self, query: Option<&str>, format: Exposition) -> Response<Body<C::Body>> {
        let Shared { cluster, started, metrics, .. } = &*self.shared;
        match self.page {
            Page::Stats => {
                let stats = fan_out::stats(&self.client, &self.members()).await;
                respond::json(StatusCode::OK, success("success", &aggregate::stats(stats)))
            }
            Page::Reset => self.reset(query).await,
            Page::Health => {
                let nodes = cluster.members();
                let mut body = json!({"status": "ok", "count": nodes.len(), "nodes": &*nodes});
                self.add_sources(&mut body);
                respond::json(StatusCode::OK, body.to_string())
            }
            Page::Healthz => respond::json(StatusCode::OK, r#"{"status":"ok"}"#),
            Page::Readyz => self.ready(),
            Page::Breakers => {
                let data = monitor::breakers(&cluster.circuits(), started);
                respond::json(StatusCode::OK, monitor::envelope(&data))
            }
            Page::Status => {
                let data = monitor::status(cluster, started);
                respond::json(StatusCode::OK, monitor::envelope(&data))
            }
            Page::OpenApi => respond::json(StatusCode::OK, OPENAPI),
            Page::Metrics => {
                let text = metrics.render(format);
                let mut response = Response::new(Body::buffered(text.into()));
                response.headers_mut().insert(CONTENT_TYPE, format.content_type());
                response
            }
        }
    }

    async fn reset(&self, query: Option<&str>) -> Response<Body<C::Body>> {
        let nodes = self.members();
        let unreachable = fan_out::reset(&self.client, &nodes, query).await;
        let message = aggregate::reset_message(nodes.len() - unreachable.len(), nodes.len());
        let data = match unreachable.as_slice() {
            [] => Value::Null,
            some => json!({ "unreachable": some }),
        };
        respond::json(StatusCode::OK, success(&message, &data))
    }

    fn members(&self) -> Vec<Arc<Node>> {
        let cluster = &self.shared.cluster;
        cluster.members().iter().map(|addr| cluster.node(addr)).collect()
    }

    fn ready(&self) -> Response<Body<C::Body>> {
        let nodes = self.members();
        let up = nodes.iter().filter(|node| node.health().can_serve()).count();
        let is_any_up = nodes.iter().any(|node| node.health().is_up());
        let draining = self.shared.drain.is_requested();
        let (status, word) = match (draining, up) {
            (false, 1..) => (StatusCode::OK, "ready"),
            (false, 0) if is_any_up => {
                (StatusCode::SERVICE_UNAVAILABLE, "no node has been reached yet")
            }
            (false, 0) => (StatusCode::SERVICE_UNAVAILABLE, "no node is up"),
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        };
        let mut body = json!({"status": word, "nodes": nodes.len(), "nodes_up": up});
        self.add_sources(&mut body);
        respond::json(status, body.to_string())
    }

    /// Adds where the nodes are known from, where that is not the configuration alone.
    fn add_sources(&self, body: &mut Value) {
        if matches!(self.shared.config.discovery.source, NodeSource::Static) {
            return;
        }
        let (cluster, now) = (&self.shared.cluster, SystemTime::now());
        let upstreams = cluster.upstreams();
        body["discovery"] = discovery::page(&upstreams.slaves, now);
        body["master"] = discovery::page(&upstreams.master, now);
        body["master"]["node"] = json!(cluster.master());
        let rivals = cluster.rivals();
        if !rivals.is_empty() {
            body["master"]["ignored"] = json!(rivals);
            body["master"]["warning"] = "more than one node is registered as master".into();
        }
    }
}

/// In the envelope of the data API.
fn success(message: &str, data: &Value) -> String {
    let message = Value::from(message);
    format!(r#"{{"status_code":0,"status_msg":{message},"data":{data}}}"#)
}
