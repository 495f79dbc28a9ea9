//! The envelopes and headers of answers.
//!
//! Two envelopes exist. The data API wraps in `status_code`, `status_msg`, `data`; data
//! management under `/data/v1` wraps in `code`, `message`, `data`. A path decides which one an
//! error takes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use kamaitachi_serve::exposition::Exposition;
use serde::Serialize;

use super::failure::Failure;

/// Body of every answer: whole, so that its length is exact.
pub type Body = Full<Bytes>;

/// What comes before and after the data of a successful answer of the data API.
pub const DATA_HEAD: &[u8] = br#"{"status_code":0,"status_msg":"success","data":"#;
/// What follows the data in either envelope.
pub const DATA_TAIL: &[u8] = b"}";
/// Marks a 503 after which another node may be asked, and says why.
const UNAVAILABLE: HeaderName = HeaderName::from_static("x-kamaitachi-unavailable");
const MANAGE_HEAD: &[u8] = br#"{"code":200,"message":"success","data":"#;

/// The revision an answer is true for.
pub const REVISION: HeaderName = HeaderName::from_static("x-kamaitachi-revision");
/// On a refusal: how many revisions the node lacks. Another node may have them.
pub const BEHIND: HeaderName = HeaderName::from_static("x-kamaitachi-behind");

/// Content type of JSON answers.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which envelope a path answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// `{"status_code","status_msg","data"}`.
    Data,
    /// `{"code","message","data"}`.
    Manage,
}

impl Envelope {
    /// The envelope errors under `path` come in, known and unknown paths alike.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        if path == "/data/v1" || path.starts_with("/data/v1/") { Self::Manage } else { Self::Data }
    }

    /// A successful answer around `data`.
    #[must_use]
    pub fn success<T: Serialize + ?Sized>(self, data: &T) -> Response<Body> {
        self.written(|body| serde_json::to_writer(body, data))
    }

    /// A part of a larger answer: `data`, and beside it what it takes to merge it with the others.
    #[must_use]
    pub fn success_of_part<T, P>(self, data: &T, part: &P) -> Response<Body>
    where
        T: Serialize + ?Sized,
        P: Serialize + ?Sized,
    {
        self.written(|body| {
            serde_json::to_writer(&mut *body, data)?;
            body.extend_from_slice(br#","part":"#);
            serde_json::to_writer(body, part)
        })
    }

    fn written(self, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> Response<Body> {
        let mut body = Vec::with_capacity(256);
        body.extend_from_slice(match self {
            Self::Data => DATA_HEAD,
            Self::Manage => MANAGE_HEAD,
        });
        match write(&mut body) {
            Ok(()) => {
                body.extend_from_slice(DATA_TAIL);
                json(StatusCode::OK, body)
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                self.failure(&Failure::Internal)
            }
        }
    }

    /// The answer to a request that failed.
    #[must_use]
    pub fn failure(self, failure: &Failure) -> Response<Body> {
        let status = failure.status();
        let message = serde_json::Value::String(failure.to_string());
        let code = status.as_u16();
        let mut response = json(
            status,
            match self {
                Self::Data => {
                    format!(r#"{{"status_code":{code},"status_msg":{message},"data":null}}"#)
                }
                Self::Manage => format!(r#"{{"code":{code},"message":{message},"data":null}}"#),
            },
        );
        let headers = response.headers_mut();
        if let Failure::MethodNotAllowed { allow } = failure {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Failure::Behind { revision, wanted } = failure {
            headers.insert(BEHIND, HeaderValue::from(wanted.saturating_sub(*revision)));
            headers.insert(REVISION, HeaderValue::from(*revision));
        }
        if let Some(why) = failure.unavailable() {
            headers.insert(UNAVAILABLE, HeaderValue::from_static(why));
        }
        if let Some(seconds) = failure.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An answer that is this JSON text.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    typed(status, JSON, body)
}

/// An answer to a scraper.
#[must_use]
pub fn metrics(format: Exposition, body: String) -> Response<Body> {
    typed(StatusCode::OK, format.content_type(), body)
}

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn typed(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
