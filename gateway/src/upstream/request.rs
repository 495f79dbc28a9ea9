//! Writing the head of a request.
use bytes::Bytes;
use http::{HeaderMap, Method, header::HOST, request::Parts};
use http_body::SizeHint;
use kamaitachi_layers::body::Body;

use super::error::UpstreamError;

/// How the end of a request is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// By a last chunk.
    Chunked,
}

impl Framing {
    pub(super) fn of<B>(head: &Parts, body: &Body<B>) -> Self
    where
        Body<B>: http_body::Body<Data = Bytes>,
    {
        let hint = match body.bytes() {
            Some(bytes) => SizeHint::with_exact(bytes.len() as u64),
            None => http_body::Body::size_hint(body),
        };
        match hint.exact() {
            // Where a body is usual, its absence is said.
            Some(0) if [Method::POST, Method::PUT, Method::PATCH].contains(&head.method) => {
                Self::Length(0)
            }
            Some(0) => Self::None,
            Some(length) => Self::Length(length),
            None => Self::Chunked,
        }
    }
}

/// Appends the head of `request` to `out`, with framing by `framing` whatever its fields say, and exactly one `Host`:
/// the request's own, or else `host`.
///
/// The types of `http` cannot hold a line break, so nothing in the request can end its line early.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    request: &Parts,
    framing: Framing,
    host: &str,
) -> Result<(), UpstreamError> {
    if request.method == Method::CONNECT {
        return Err(UpstreamError::BadRequest("CONNECT cannot be forwarded"));
    }
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with(['/', '*']) {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(
        request.headers.get(HOST).map_or(host.as_bytes(), |host| host.as_bytes()),
    );
    out.extend_from_slice(b"\r\n");
    write_fields(out, &request.headers);
    match framing {
        Framing::None => out.extend_from_slice(b"\r\n"),
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
    }
    Ok(())
}

fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        let name = name.as_str();
        if is_ours(name) {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether the field is about this connection or the framing on it, and so never another's to say.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "content-length" | "transfer-encoding" | "connection" | "host" | "expect" | "upgrade"
    )
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::Empty;

    use super::*;

    fn written(request: Request<()>, framing: Framing) -> String {
        let mut out = b"before ".to_vec();
        write_head(&mut out, &request.into_parts().0, framing, "10.0.0.1:8081").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn framing_and_host_are_said_once_whatever_the_fields_say() {
        let mut request = Request::post("/a?b=c%20d");
        for (name, value) in [
            ("host", "shop"),
            ("host", "evil"),
            ("content-length", "1"),
            ("content-length", "2"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-one", "1"),
        ] {
            request = request.header(name, value);
        }
        assert_eq!(
            written(request.body(()).unwrap(), Framing::Length(17)),
            "before POST /a?b=c%20d HTTP/1.1\r\nhost: shop\r\nx-one: 1\r\ncontent-length: 17\r\n\r\n"
        );
    }

    #[test]
    fn targets_are_in_origin_form_and_host_is_the_nodes_if_there_is_none() {
        for (target, line) in [
            ("http://there/x?y", "GET /x?y HTTP/1.1"),
            ("http://there?y", "GET /?y HTTP/1.1"),
            ("/", "GET / HTTP/1.1"),
            ("*", "GET * HTTP/1.1"),
        ] {
            let request = Request::get(target).body(()).unwrap();
            assert_eq!(
                written(request, Framing::None),
                format!("before {line}\r\nhost: 10.0.0.1:8081\r\n\r\n")
            );
        }
    }

    #[test]
    fn an_empty_body_is_said_where_one_is_usual() {
        let framing = |method: Method, body: &'static str| {
            let head = Request::builder().method(method).body(()).unwrap().into_parts().0;
            let body = Body::<Empty<Bytes>>::buffered(Bytes::from_static(body.as_bytes()));
            Framing::of(&head, &body)
        };
        assert_eq!(framing(Method::GET, ""), Framing::None);
        assert_eq!(framing(Method::DELETE, ""), Framing::None);
        assert_eq!(framing(Method::POST, ""), Framing::Length(0));
        assert_eq!(framing(Method::GET, "ab"), Framing::Length(2));
    }

    #[test]
    fn connect_is_refused() {
        let request = Request::connect("there:80").body(()).unwrap().into_parts().0;
        assert!(write_head(&mut Vec::new(), &request, Framing::None, "h").is_err());
    }
}
