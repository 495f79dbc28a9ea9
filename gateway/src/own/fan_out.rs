//! Asks every node at once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, Uri, header::HOST};
use http_body_util::{BodyExt as _, Limited};
use kamaitachi_layers::body::Body;
use tower::ServiceExt as _;

use super::Page;
use crate::{
    aggregate::{self, NodeStats},
    stack::RequestBody,
    upstream::{Connector, Node},
};

/// A node that needs longer is listed as unreachable: whoever looks at all nodes waits for the slowest.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The statistics of a node are a few kilobytes.
const LARGEST_ANSWER: usize = 1 << 20;

/// What each node says of itself, in the order of `nodes`.
pub(super) async fn stats<C>(client: &C, nodes: &[Arc<Node>]) -> Vec<NodeStats>
where
    C: Connector<RequestBody>,
{
    join_all(nodes.iter().map(|node| async move {
        let answer = ask(client, node, Method::GET, Page::Stats.path()).await;
        let data = answer.as_deref().and_then(aggregate::read_stats);
        NodeStats { node: node.name().to_string(), data }
    }))
    .await
}

/// Resets every node's cache; answers who could not be reached.
pub(super) async fn reset<C>(client: &C, nodes: &[Arc<Node>], query: Option<&str>) -> Vec<String>
where
    C: Connector<RequestBody>,
{
    let path = Page::Reset.path();
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let target = target.as_str();
    let failed = join_all(nodes.iter().map(|node| async move {
        ask(client, node, Method::POST, target).await.is_none().then(|| node.name().to_string())
    }));
    failed.await.into_iter().flatten().collect()
}

/// The body of a node's answer, if it answered well and in time.
async fn ask<C>(client: &C, node: &Arc<Node>, method: Method, target: &str) -> Option<Bytes>
where
    C: Connector<RequestBody>,
{
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    request.headers_mut().insert(HOST, node.name().parse().ok()?);
    // Both questions can be repeated: to reset twice is to reset.
    let endpoint = client.endpoint_apart(node);
    let answer = async {
        let response = endpoint.oneshot(request).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await.ok()?;
        Some(body.to_bytes())
    };
    tokio::time::timeout(ANSWER_WITHIN, answer).await.ok().flatten()
}
