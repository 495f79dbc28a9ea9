//! Whose host a request is for.
use http::{HeaderValue, Request, Uri, Version, header::HOST};

use super::fields::Found;

/// Checks the `Host` fields that were found and brings the request into the form in which it is forwarded: target in
/// origin form, one `Host`, HTTP/1.1. Says what is wrong with it.
pub(super) fn settle<B>(request: &mut Request<B>, found: &mut Found) -> Result<(), &'static str> {
    let version = std::mem::replace(request.version_mut(), Version::HTTP_11);
    if found.hosts > 1 {
        return Err("more than one Host field");
    }
    match &found.host {
        None if version == Version::HTTP_11 => return Err("no Host field"),
        Some(host) if !is_host(host.as_bytes()) => return Err("malformed Host field"),
        _ => {}
    }
    let Some(authority) = request.uri().authority() else {
        // Only HTTP/1.0 may do without.
        let is_lacking = found.host.is_none() && version > Version::HTTP_11;
        return if is_lacking { Err("no authority") } else { Ok(()) };
    };
    let host = match HeaderValue::from_str(authority.as_str()) {
        Ok(host) if is_host(host.as_bytes()) => host,
        _ => return Err("malformed authority"),
    };
    found.host = Some(host.clone());
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
            [b':', port @ ..] => {
                let fits = port.len() < 5 || (port.len() == 5 && port <= b"65535".as_slice());
                fits && port.iter().all(u8::is_ascii_digit)
            }
            _ => false,
        }
}

/// The bytes that a name may have, for one look-up each: nearly every request has a host to be checked.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let good = b"-._~%!$&'()*+;=";
    let mut at = 0;
    while at < good.len() {
        table[good[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = true;
        }
        byte += 1;
    }
    table
};

fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)]
}
