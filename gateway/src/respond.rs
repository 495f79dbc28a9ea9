//! The one place where errors become responses.
//!
//! The client gets a short public message, in both envelopes that clients of the system read; the log gets the chain
//! of causes. A new rejection does not compile until it has an answer here.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use kamaitachi_layers::{body::Body, rejection::Rejection, select::Failed};
use kamaitachi_serve::{envelope, server::BrokenBody};

use crate::{reason::Reason, stack::X_KAMAITACHI_NODE, upstream::UpstreamError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The body over a rate limit.
const RATE_LIMITED: &str =
    r#"{"code":429,"message":"Too Many Requests - Rate limit exceeded","data":null}"#;
/// The body of an open breaker.
const BREAKER_OPEN: &str =
    r#"{"code":503,"message":"Service Unavailable - Circuit breaker is open","data":null}"#;

/// The answer to a request that failed with `error`, and why it is that.
#[must_use]
pub fn respond<B>(error: &(dyn Error + 'static)) -> (Response<Body<B>>, Reason) {
    if let Some(UpstreamError::Unavailable(answer)) = UpstreamError::find(error) {
        return (nodes_own(answer, error), Reason::Answered);
    }
    let (reason, said) = explain(error);
    let status = reason.status().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match reason {
        Reason::RateLimited => Bytes::from_static(RATE_LIMITED.as_bytes()),
        Reason::BreakerOpen => Bytes::from_static(BREAKER_OPEN.as_bytes()),
        _ => envelope(status.as_u16(), &said.message).into(),
    };
    let mut response = json(status, body);
    if let Some(wait) = said.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds(wait));
    }
    if let Some(allow) = said.allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    (response, reason)
}

/// What a node said that is not there for requests, when no other node is.
fn nodes_own<B>(answer: &Response<Bytes>, error: &(dyn Error + 'static)) -> Response<Body<B>> {
    let mut response = answer.clone().map(Body::buffered);
    let failed = std::iter::successors(Some(error), |&error| error.source())
        .find_map(<dyn Error>::downcast_ref::<Failed>);
    if let Some(name) = failed.and_then(|failed| HeaderValue::from_str(failed.member()).ok()) {
        response.headers_mut().insert(X_KAMAITACHI_NODE, name);
    }
    response
}

/// A JSON response.
#[must_use]
pub fn json<B>(status: StatusCode, body: impl Into<Bytes>) -> Response<Body<B>> {
    let mut response = Response::new(Body::buffered(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// What a client is told.
struct Said {
    message: String,
    retry_after: Option<Duration>,
    allow: Option<HeaderValue>,
}

impl Said {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None, allow: None }
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

/// When nobody knows how long it takes.
const SOON: Duration = Duration::from_secs(1);

fn explain(error: &(dyn Error + 'static)) -> (Reason, Said) {
    if came_too_slowly(error) {
        return (Reason::BodyTimedOut, Said::new(TOO_SLOW));
    }
    if let Some(rejection) = Rejection::find(error) {
        return explain_rejection(rejection);
    }
    match UpstreamError::find(error) {
        Some(upstream) => explain_upstream(upstream),
        None => (Reason::Internal, Said::new("internal error")),
    }
}

const TOO_SLOW: &str = "request body did not arrive in time";

/// Whether whoever reads the client's body has given it up, which others know as a body that cannot be read.
fn came_too_slowly(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .any(|error| matches!(error.downcast_ref(), Some(BrokenBody::TimedOut)))
}

fn explain_upstream(error: &UpstreamError) -> (Reason, Said) {
    match error {
        UpstreamError::Connect(_)
        | UpstreamError::ConnectTimedOut(_)
        | UpstreamError::ClosedBeforeResponse(_) => {
            (Reason::Unreachable, Said::new("the node cannot be reached"))
        }
        UpstreamError::Exhausted(_) => {
            (Reason::Exhausted, Said::new("the gateway has too many requests").retry_after(SOON))
        }
        UpstreamError::Saturated(_) => {
            (Reason::Saturated, Said::new("the node has too many requests").retry_after(SOON))
        }
        UpstreamError::TimedOut(_) => {
            (Reason::TimedOut, Said::new("the node did not answer in time"))
        }
        UpstreamError::Unavailable(_) => {
            (Reason::Answered, Said::new("the node is not available").retry_after(SOON))
        }
        UpstreamError::BadResponse(_)
        | UpstreamError::Read(_)
        | UpstreamError::Truncated
        | UpstreamError::BodyTimedOut(_) => {
            (Reason::BadAnswer, Said::new("the node gave no proper answer"))
        }
        UpstreamError::BadRequest(why) => {
            (Reason::BadRequest, Said::new(format!("bad request: {why}")))
        }
        UpstreamError::RequestBody(_) => {
            (Reason::BodyUnreadable, Said::new("request body broke off or is malformed"))
        }
    }
}

fn explain_rejection(rejection: &Rejection) -> (Reason, Said) {
    match rejection {
        Rejection::RateLimited { retry_after, .. } => {
            (Reason::RateLimited, Said::new("").retry_after(*retry_after))
        }
        Rejection::CircuitOpen { retry_after, .. } => {
            (Reason::BreakerOpen, Said::new("").retry_after(*retry_after))
        }
        Rejection::NoUpstream => {
            (Reason::NoNode, Said::new("no available nodes").retry_after(SOON))
        }
        Rejection::NoRoute => (Reason::NoRoute, Said::new("no route for this path")),
        Rejection::MethodNotAllowed { allow } => {
            let allowed = allow.to_str().unwrap_or_default();
            let mut said = Said::new(format!("method not allowed, expected one of {allowed}"));
            said.allow = Some(allow.clone());
            (Reason::Method, said)
        }
        Rejection::BodyTooLarge { limit } => {
            let said = Said::new(format!("request body is too large, at most {limit} bytes"));
            (Reason::BodyTooLarge, said)
        }
        Rejection::BodyTimedOut { .. } => (Reason::BodyTimedOut, Said::new(TOO_SLOW)),
        Rejection::BodyUnreadable(_) => {
            (Reason::BodyUnreadable, Said::new("request body broke off or is malformed"))
        }
        Rejection::BadTarget { why } => {
            (Reason::BadRequest, Said::new(format!("bad request: {why}")))
        }
    }
}

/// Whole seconds, rounded up, one at least: a client that comes back then is not too early.
fn seconds(wait: Duration) -> HeaderValue {
    let up = u64::from(wait.subsec_nanos() > 0);
    HeaderValue::from((wait.as_secs() + up).max(1))
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;

    type Answer = Response<Body<Empty<Bytes>>>;

    fn answer(error: impl Error + 'static) -> (u16, String, String, Reason) {
        let (response, reason): (Answer, _) = respond(&error);
        let header = response.headers().get(RETRY_AFTER);
        let retry_after = header.map_or("", |value| value.to_str().unwrap()).to_owned();
        let body = response.body().bytes().unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (response.status().as_u16(), retry_after, body, reason)
    }

    #[test]
    fn limits_and_breakers_answer_the_bodies_of_the_contract() {
        let wait = Duration::from_millis(1_001);
        let limited = Rejection::RateLimited { limit: "period".into(), retry_after: wait };
        let (status, after, body, _) = answer(limited);
        assert_eq!((status, &*after, &*body), (429, "2", RATE_LIMITED));
        let open = Rejection::CircuitOpen { breaker: "x".into(), retry_after: Duration::ZERO };
        let (status, after, body, _) = answer(open);
        assert_eq!((status, &*after, &*body), (503, "1", BREAKER_OPEN));
    }

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        for (millis, text) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (29_999, "30")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn all_other_errors_come_in_both_envelopes_and_without_library_text() {
        let io = || std::io::Error::other("Connection refused (os error 111)");
        let upstream = |error: UpstreamError| Box::new(error) as Box<dyn Error>;
        for (error, status) in [
            (Box::new(Rejection::NoUpstream) as Box<dyn Error>, 503),
            (Box::new(Rejection::NoRoute), 404),
            (Box::new(Rejection::BodyTooLarge { limit: 7 }), 413),
            (Box::new(Rejection::BodyTimedOut { after: SOON }), 408),
            (Box::new(Rejection::BodyUnreadable(io().into())), 400),
            (Box::new(Rejection::BadTarget { why: "no Host field" }), 400),
            (upstream(UpstreamError::Connect(io())), 502),
            (upstream(UpstreamError::ClosedBeforeResponse(Some(io()))), 502),
            (upstream(UpstreamError::Exhausted(io())), 503),
            (upstream(UpstreamError::Saturated(9)), 503),
            (upstream(UpstreamError::TimedOut(SOON)), 504),
            (upstream(UpstreamError::Truncated), 502),
            (upstream(UpstreamError::RequestBody(io().into())), 400),
            (upstream(UpstreamError::RequestBody(BrokenBody::TimedOut.into())), 408),
            (Box::new(Rejection::BodyUnreadable(BrokenBody::TimedOut.into())), 408),
            (Box::new(io()), 500),
        ] {
            let (response, reason): (Answer, _) = respond(&*error);
            assert_eq!(response.status(), status, "{error}");
            assert_eq!(reason.status().map(|status| status.as_u16()), Some(status));
            let body: serde_json::Value =
                serde_json::from_slice(response.body().bytes().unwrap()).unwrap();
            assert_eq!((&body["status_code"], &body["code"]), (&status.into(), &status.into()));
            assert_eq!(body["status_msg"], body["message"]);
            assert!(body["data"].is_null());
            assert!(!body.to_string().contains("refused"), "{body}");
        }
    }

    #[test]
    fn a_wrong_method_says_which_are_right() {
        let allow = HeaderValue::from_static("GET, HEAD");
        let error = Rejection::MethodNotAllowed { allow: allow.clone() };
        let (response, _): (Answer, _) = respond(&error);
        assert_eq!((response.status().as_u16(), &response.headers()[ALLOW]), (405, &allow));
    }
}
