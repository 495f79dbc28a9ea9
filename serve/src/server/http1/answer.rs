//! The head of an answer, and how the end of its body is told.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH},
    request,
};
use http_body::Body;

use super::options::Options;
use crate::server::date::Date;

/// What an answer has to know of its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    pub(super) is_old: bool,
    pub(super) keep_alive: bool,
}

impl Asked {
    pub(super) fn of<B>(request: &request::Request<B>, options: Options) -> Self {
        Self {
            is_head: *request.method() == Method::HEAD,
            is_connect: *request.method() == Method::CONNECT,
            is_old: request.version() == Version::HTTP_10,
            // There are no tunnels here, so nothing can follow.
            keep_alive: options.keep_alive(request.version())
                && *request.method() != Method::CONNECT,
        }
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// There is no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// By a last chunk.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// Whether, and with which length, an answer tells of a body.
struct Plan {
    ending: Ending,
    said: Option<u64>,
}

impl Plan {
    /// RFC 9112, 6.3, from the side of the sender.
    fn of<B: Body>(response: &Response<B>, asked: Asked) -> Self {
        let (status, body) = (response.status(), response.body());
        let exact = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
        let is_tunnel = asked.is_connect && status.is_success();
        if is_tunnel || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self { ending: Ending::None, said: None };
        }
        if asked.is_head {
            let said = exact.filter(|exact| *exact > 0).or_else(|| length(response.headers()));
            return Self { ending: Ending::None, said };
        }
        match exact.or_else(|| length(response.headers())) {
            Some(length) => Self { ending: Ending::Length(length), said: Some(length) },
            None if asked.is_old => Self { ending: Ending::Close, said: None },
            None => Self { ending: Ending::Chunked, said: None },
        }
    }
}

/// The length that the service gave for a body that does not know its own.
fn length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?.as_bytes();
    let is_number = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

/// Whether the service wants the connection closed.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    values.any(|value| Options::of(&CONNECTION, value.as_bytes()).closes)
}

/// Appends the head of `response` to `out`, its end included; `closes` where it is the last of the connection. Fields
/// about the connection and the framing are ours alone, whatever the service said.
pub(super) fn write_head<B: Body>(
    out: &mut Vec<u8>,
    response: &Response<B>,
    asked: Asked,
    may_go_on: bool,
    date: &Date,
) -> (Ending, bool) {
    let Plan { ending, said } = Plan::of(response, asked);
    let goes_on = may_go_on && ending != Ending::Close;
    write_status(out, response.status(), asked.is_old);
    let mut has_date = false;
    for (name, value) in response.headers() {
        let name = name.as_str();
        match name {
            "connection" | "content-length" | "transfer-encoding" | "trailer" | "keep-alive" => {
                continue;
            }
            "date" => has_date = true,
            _ => {}
        }
        write_field(out, name, value);
    }
    match ending {
        Ending::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {
            if let Some(length) = said {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    if !goes_on {
        out.extend_from_slice(b"connection: close\r\n");
    } else if asked.is_old {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    if !has_date {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date.value().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    (ending, goes_on)
}

fn write_status(out: &mut Vec<u8>, status: StatusCode, is_old: bool) {
    if status == StatusCode::OK && !is_old {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The types of `http` cannot hold a line break, so nothing in a value can end its line early.
fn write_field(out: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}
