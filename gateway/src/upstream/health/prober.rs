//! Asking nodes how they are.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, Uri, header::USER_AGENT};
use http_body_util::Empty;
use kamaitachi_layers::body::Body;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tower::{BoxError, Service, ServiceExt as _};

use super::state::Probed;
use crate::{
    edge::Causes,
    upstream::{Connector, Node, UpstreamError},
};

/// How nodes are probed.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What is asked for with GET, in origin form.
    pub path: Uri,
    /// Time between two probes of a node.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// Probes nodes for ever, one round after the other, all nodes of a round at once.
///
/// An answer below 500 means ready (a server that has no such page answers 404, and answers), 503 not ready; any other,
/// and none, is a failure.
#[derive(Debug)]
pub struct Prober<C> {
    probe: Probe,
    connector: C,
}

/// The body of a probe: none.
type NoBody = Empty<Bytes>;

impl<C: Connector<NoBody>> Prober<C> {
    /// Probes through `connector`. Make it one of its own that keeps no connections, so that a probe also shows whether
    /// new ones are accepted.
    #[must_use]
    pub fn new(probe: Probe, connector: C) -> Self {
        Self { probe, connector }
    }

    /// Probes what `nodes` answers, anew in each round, from now on; and those that nobody has met yet whenever `news` of
    /// the nodes has come, which has to be cancel safe. Never ends.
    ///
    /// Cancel safety: dropped, it leaves every node as the last complete probe saw it.
    pub async fn run(self, nodes: impl Fn() -> Vec<Arc<Node>>, mut news: impl AsyncFnMut()) {
        let mut rounds = interval(self.probe.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_round = tokio::select! {
                biased;
                _ = rounds.tick() => true,
                () = news() => false,
            };
            let nodes = nodes();
            let due = nodes.iter().filter(|node| is_round || !node.health().is_met());
            join_all(due.map(|node| self.probe(node))).await;
        }
    }

    async fn probe(&self, node: &Arc<Node>) {
        let endpoint = self.connector.endpoint_apart(node);
        let was_up = node.health().is_up();
        let probed = match timeout(self.probe.timeout, ask(endpoint, self.probe.path.clone())).await
        {
            Ok(Ok(status)) if !status.is_server_error() => Probed::Ready,
            Ok(Ok(StatusCode::SERVICE_UNAVAILABLE)) => Probed::NotReady,
            Ok(Err(error)) if says_unavailable(&error) => Probed::NotReady,
            Ok(Err(ref error)) if let Some(causes) = exhausted(error) => {
                let node = node.name();
                return tracing::warn!(%node, %causes, "a node cannot be probed");
            }
            Ok(Ok(_) | Err(_)) | Err(_) => Probed::NoAnswer,
        };
        node.health().probed(probed);
        let is_up = node.health().is_up();
        if is_up != was_up {
            tracing::info!(node = %node.name(), up = is_up, ?probed, "health of a node changed");
        }
    }
}

/// What was wanting here, so that the node was not asked at all.
fn exhausted(error: &BoxError) -> Option<Causes<'_>> {
    let error = UpstreamError::find(&**error)?;
    matches!(error, UpstreamError::Exhausted(_)).then_some(Causes(error))
}

/// Whether the error is the node's own word that it is not ready.
fn says_unavailable(error: &BoxError) -> bool {
    matches!(UpstreamError::find(&**error), Some(UpstreamError::Unavailable(_)))
}

async fn ask<E, R>(endpoint: E, path: Uri) -> Result<StatusCode, BoxError>
where
    E: Service<Request<Body<NoBody>>, Response = Response<R>, Error = BoxError>,
{
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path;
    let agent = http::HeaderValue::from_static("kamaitachi-prober");
    request.headers_mut().insert(USER_AGENT, agent);
    Ok(endpoint.oneshot(request).await?.status())
}
