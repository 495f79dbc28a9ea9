//! Whose host a request is for.
use http::{HeaderValue, Request, Uri, Version, header::HOST};

/// Checks the `Host` fields, of which there are `hosts`, and brings the request into the form in which it is
/// forwarded: target in origin form, one `Host`, HTTP/1.1. Says what is wrong with it.
pub(super) fn settle<B>(request: &mut Request<B>, hosts: usize) -> Result<(), &'static str> {
    let version = std::mem::replace(request.version_mut(), Version::HTTP_11);
    if hosts > 1 {
        return Err("more than one Host field");
    }
    if hosts == 0 && version == Version::HTTP_11 {
        return Err("no Host field");
    }
    if hosts == 1 && !is_host(request.headers()[HOST].as_bytes()) {
        return Err("malformed Host field");
    }
    let Some(authority) = request.uri().authority() else {
        // Only HTTP/1.0 may do without.
        return if hosts == 0 && version > Version::HTTP_11 { Err("no authority") } else { Ok(()) };
    };
    let host = match HeaderValue::from_str(authority.as_str()) {
        Ok(host) if is_host(host.as_bytes()) => host,
        _ => return Err("malformed authority"),
    };
    request.headers_mut().insert(HOST, host);
    let path = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    Ok(())
}

/// Whether `text` is `host [":" port]` of RFC 3986 with a host in it. Stricter than its grammar in one place: no
/// comma, which would more likely be two fields joined than a name.
pub(super) fn is_host(text: &[u8]) -> bool {
    let (host_len, valid) = if text.first() == Some(&b'[') {
        let inside = text.iter().position(|byte| *byte == b']').unwrap_or(0);
        let address = text.get(1..inside).and_then(|inside| std::str::from_utf8(inside).ok());
        (inside + 1, address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()))
    } else {
        let len = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        (len, len > 0 && text[..len].iter().all(|byte| is_name_byte(*byte)))
    };
    valid
        && match &text[host_len..] {
            [] => true,
            [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
            _ => false,
        }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}
