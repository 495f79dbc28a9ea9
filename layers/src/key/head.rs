//! Keys from the head of a request.
use std::{borrow::Cow, io::Write as _, net::IpAddr};

use bytes::Bytes;
use http::header::COOKIE;

use super::{KeySource, RoutingKey};
use crate::head::Head;

/// What `source` says, if it is one in the head.
pub(super) fn find(source: &KeySource, head: Head<'_>) -> Option<RoutingKey> {
    match source {
        KeySource::Body(_) => None,
        KeySource::Header(name) => head.headers.get(name).and_then(|value| key(value.as_bytes())),
        KeySource::Query(name) => query(head.uri.query()?, name),
        KeySource::PathSegment(index) => {
            decoded_key(head.uri.path().strip_prefix('/')?.split('/').nth(*index)?, false)
        }
        KeySource::Path(pattern) => decoded_key(pattern.segment(head.uri.path())?, false),
        KeySource::Cookie(name) => cookie(head, name),
        KeySource::ClientIp => head.client_ip().map(address),
    }
}

/// The first element of a comma-separated list that is not blank, trimmed.
pub(super) fn first(list: &[u8]) -> Option<&[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).find(|element| !element.is_empty())
}

fn key(list: &[u8]) -> Option<RoutingKey> {
    first(list).map(|key| RoutingKey(Bytes::copy_from_slice(key)))
}

fn decoded_key(encoded: &str, is_query: bool) -> Option<RoutingKey> {
    key(&decode(encoded, is_query))
}

/// The first value under `name` that is not blank.
fn query(query: &str, name: &str) -> Option<RoutingKey> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(this, _)| *decode(this, true) == *name.as_bytes())
        .find_map(|(_, value)| decoded_key(value, true))
}

fn cookie(head: Head<'_>, name: &str) -> Option<RoutingKey> {
    head.headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .find_map(key)
}

fn address(ip: IpAddr) -> RoutingKey {
    let mut text = [0; "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len()];
    let mut free = &mut text[..];
    // Cannot fail: there is room for the longest.
    let _ = write!(free, "{ip}");
    let unused = free.len();
    RoutingKey(Bytes::copy_from_slice(&text[..text.len() - unused]))
}

/// Decodes once; what is no escape stands for itself. A plus is a blank in queries.
fn decode(encoded: &str, is_query: bool) -> Cow<'_, [u8]> {
    let is_plain = |byte: u8| byte != b'%' && !(is_query && byte == b'+');
    if encoded.bytes().all(is_plain) {
        return Cow::Borrowed(encoded.as_bytes());
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [byte, after @ ..] = rest {
        let escape = match after {
            [high, low, after @ ..] if *byte == b'%' => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let plain = if is_query && *byte == b'+' { b' ' } else { *byte };
        let (byte, after) = escape.unwrap_or((plain, after));
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
