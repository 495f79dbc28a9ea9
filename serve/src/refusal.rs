//! The answers that a server gives by itself, when no service has a request to answer.

use std::{borrow::Cow, time::SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use crate::framing::Violation;

/// An answer that closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: u16,
    message: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn of(violation: Violation) -> Self {
        Self { status: violation.status(), message: violation.to_string().into() }
    }

    pub(crate) fn timeout() -> Self {
        Self { status: 408, message: "request not received in time".into() }
    }

    pub(crate) fn full() -> Self {
        Self { status: 503, message: "too many connections".into() }
    }

    /// The same where the connection goes on.
    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(envelope(self.status, &self.message)));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    /// The whole response, head and body.
    pub(crate) fn render(&self) -> Vec<u8> {
        let Self { status, message } = self;
        let reason = StatusCode::from_u16(*status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Error");
        let body = envelope(*status, message);
        let retry = if *status == 503 { "retry-after: 1\r\n" } else { "" };
        let text = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\ndate: {}\r\n{retry}connection: close\r\n\r\n{body}",
            body.len(),
            httpdate::fmt_http_date(SystemTime::now()),
        );
        text.into_bytes()
    }
}

/// The body of an error, in both forms that clients of the system read.
#[must_use]
pub fn envelope(status: u16, message: &str) -> String {
    let message = serde_json::Value::from(message);
    format!(
        "{{\"status_code\":{status},\"status_msg\":{message},\"code\":{status},\
         \"message\":{message},\"data\":null}}"
    )
}
