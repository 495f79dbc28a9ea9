//! The way of a request through a node, top to bottom.

use std::{
    cell::RefCell,
    fmt::Display,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts,
};
use tokio::time::Instant;

use super::{
    app::App,
    failure::Failure,
    handlers,
    json::Quoted,
    respond::{Body, Envelope, REVISION, empty},
    routes::{Destination, Endpoint},
};
use crate::model::Revision;

const NODE: HeaderName = HeaderName::from_static("x-kamaitachi-node");
/// What an answer should be as new as, if that takes no more than a moment: a gateway's word of the
/// last write that passed it.
const PREFER_REVISION: HeaderName = HeaderName::from_static("x-kamaitachi-prefer-revision");
const MIN_REVISION: HeaderName = HeaderName::from_static("x-kamaitachi-min-revision");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers requests on one worker. Cheap to clone; stays on its thread.
#[derive(Clone, Debug)]
pub struct Service {
    app: Arc<App>,
    last: Rc<RefCell<(Revision, HeaderValue)>>,
}

/// What a handler answers with, and the revision its answer is true for.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<Body>,
    pub(super) revision: Option<Revision>,
}

impl From<Response<Body>> for Answered {
    fn from(response: Response<Body>) -> Self {
        Self { response, revision: None }
    }
}

impl Service {
    /// A service for one worker of the node.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app, last: Rc::new(RefCell::new((0, HeaderValue::from_static("0")))) }
    }

    /// Answers a request; every failure becomes an answer.
    ///
    /// Dropping the future gives a read up; it leaves open whether a write is done, never half
    /// done.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Display>,
    {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let found = self.app.routes.find(&head.method, path);
        let endpoint = match found {
            Ok(Destination::Endpoint(endpoint, _)) => Some(endpoint),
            _ => None,
        };
        let guarded = AssertUnwindSafe(self.enter(found, &head, body)).catch_unwind();
        let answered = guarded.await.unwrap_or_else(|_| {
            // What was thrown is in the log already, by the panic hook.
            self.app.requests.panics.fetch_add(1, Relaxed);
            Err(Failure::Internal)
        });
        let answered = answered.unwrap_or_else(|failure| {
            tracing::debug!(status = failure.status().as_u16(), path, %failure, "refused");
            Envelope::of_path(path).failure(&failure).into()
        });
        let response = self.sign(answered, &head);
        self.app.requests.count(endpoint, response.status(), started.elapsed());
        response
    }

    async fn enter<B>(
        &self,
        found: Result<Destination<'_>, Failure>,
        head: &Parts,
        body: B,
    ) -> Result<Answered, Failure>
    where
        B: http_body::Body<Data = Bytes, Error: Display>,
    {
        match found? {
            Destination::Endpoint(endpoint, id) => {
                self.app.expect_memory(endpoint)?;
                if endpoint.reads_data()
                    && let Some(wanted) = min_revision(&head.headers)?
                {
                    self.app.expect_revision(wanted).await?;
                }
                if endpoint.reads_data()
                    && let Some(wanted) = head.headers.get(PREFER_REVISION)
                {
                    self.app.prefer_revision(wanted).await;
                }
                self.route(endpoint, id, head, body).await
            }
            Destination::Options { allow } => {
                let mut response = empty(StatusCode::NO_CONTENT);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
                Ok(response.into())
            }
        }
    }

    /// Each endpoint to its handler.
    async fn route<B>(
        &self,
        endpoint: Endpoint,
        id: Option<&str>,
        head: &Parts,
        body: B,
    ) -> Result<Answered, Failure>
    where
        B: http_body::Body<Data = Bytes, Error: Display>,
    {
        let app = &*self.app;
        let id = id.unwrap_or_default();
        match endpoint {
            Endpoint::Snapshot => handlers::query::snapshot(app, head, body).await,
            Endpoint::Period => handlers::query::period(app, head, body).await,
            Endpoint::SelectionSnapshot => {
                handlers::query::selection_snapshot(app, head, body).await
            }
            Endpoint::SelectionPeriod => handlers::query::selection_period(app, head, body).await,
            Endpoint::Stats => handlers::status::stats(app),
            Endpoint::CacheReset => handlers::status::cache_reset(app, head),
            Endpoint::Ingest => handlers::write::ingest(app, head, body).await,
            Endpoint::ListIndicators => handlers::write::list_indicators(app),
            Endpoint::RegisterIndicators => {
                handlers::write::register_indicators(app, head, body).await
            }
            Endpoint::Save => handlers::records::save(app, head, body).await,
            Endpoint::Get => handlers::records::get(app, head, id).await,
            Endpoint::Search => handlers::records::search(app, head, body).await,
            Endpoint::Delete => handlers::records::delete(app, head, id).await,
            Endpoint::Health | Endpoint::Healthz => Ok(handlers::status::alive().into()),
            Endpoint::Readyz => handlers::status::ready(app),
            Endpoint::Metrics => handlers::status::metrics(app, head),
            Endpoint::OpenApi => Ok(handlers::status::openapi().into()),
            Endpoint::HandOverPull => handlers::hand_over::pull(app, head, body).await,
            Endpoint::HandOverPush => handlers::hand_over::push(app, head, body).await,
        }
    }

    /// Puts on an answer who gave it, at which revision, to which request.
    fn sign(&self, answered: Answered, head: &Parts) -> Response<Body> {
        let Answered { mut response, revision } = answered;
        let headers = response.headers_mut();
        headers.insert(NODE, self.app.addr_header.clone());
        if let Some(revision) = revision {
            headers.insert(REVISION, self.revision(revision));
        }
        if let Some(id) = head.headers.get(REQUEST_ID).filter(|id| is_request_id(id)) {
            headers.insert(REQUEST_ID, id.clone());
        }
        response
    }

    /// The header for a revision; the last one is remembered, as most answers repeat it.
    fn revision(&self, revision: Revision) -> HeaderValue {
        let mut last = self.last.borrow_mut();
        if last.0 != revision {
            *last = (revision, HeaderValue::from(revision));
        }
        last.1.clone()
    }
}

/// What the answer has to be as new as, if the client says.
fn min_revision(headers: &HeaderMap) -> Result<Option<Revision>, Failure> {
    let mut values = headers.get_all(MIN_REVISION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let number = value.to_str().ok().map(str::trim).filter(|text| !text.starts_with('+'));
    match number.and_then(|text| text.parse().ok()) {
        Some(revision) if values.next().is_none() => Ok(Some(revision)),
        _ => Err(Failure::bad(format!(
            "header `X-Kamaitachi-Min-Revision`: got \"{}\", expected one revision, such as the \
             `X-Kamaitachi-Revision` of an earlier answer",
            Quoted(&String::from_utf8_lossy(value.as_bytes()))
        ))),
    }
}

/// 1 to 64 letters, digits, `-` and `_`: nothing that could break a log.
fn is_request_id(id: &HeaderValue) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&id.len()) && id.as_bytes().iter().all(fits)
}

/// The output of `future`, unless it takes longer than `limit`. One that is ready at once, as a
/// cached answer is, never touches a timer.
pub(super) async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Failure> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Ok(output);
    }
    tokio::time::timeout(limit, future).await.map_err(|_| Failure::TooSlow(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_revision_is_one_whole_number() {
        let of = |values: &[&'static str]| {
            let header = |value| (MIN_REVISION, HeaderValue::from_static(value));
            min_revision(&HeaderMap::from_iter(values.iter().map(|value| header(value))))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["18446744073709551615"]), Ok(Some(Revision::MAX)));
        for wrong in ["", "-1", "+1", "1.5", "x", "18446744073709551616", "1,2"] {
            let told = of(&[wrong]).unwrap_err().to_string();
            assert!(told.contains("X-Kamaitachi-Min-Revision"), "{told}");
        }
        assert!(of(&["1"]).is_ok());
    }

    #[test]
    fn request_ids_are_words() {
        let ok = |id: &'static str| is_request_id(&HeaderValue::from_static(id));
        assert!(ok("a-B_9") && ok(&"x".repeat(64).leak()[..]));
        assert!(!ok("") && !ok("a b") && !ok("a:b") && !ok(&"x".repeat(65).leak()[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_given_up_at_the_deadline() {
        let limit = Duration::from_secs(5);
        assert_eq!(within(limit, std::future::ready(1)).await, Ok(1));
        let almost = tokio::time::sleep(Duration::from_millis(4999));
        assert_eq!(within(limit, almost).await, Ok(()));
        let never = std::future::pending::<()>();
        assert_eq!(within(limit, never).await, Err(Failure::TooSlow(limit)));
    }
}
