//! Which header fields end at this hop.
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::request_id::X_REQUEST_ID;

/// Fields that never pass, besides those that `Connection` names. Indexed by the bits of [`ends_here`].
static ENDS_HERE: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::EXPECT,
];

fn ends_here(name: &str) -> u16 {
    match name {
        "connection" => 1,
        "keep-alive" => 1 << 1,
        "proxy-connection" => 1 << 2,
        "te" => 1 << 3,
        "trailer" => 1 << 4,
        "transfer-encoding" => 1 << 5,
        "upgrade" => 1 << 6,
        "proxy-authorization" => 1 << 7,
        "proxy-authenticate" => 1 << 8,
        "expect" => 1 << 9,
        _ => 0,
    }
}

/// What one pass over a request's fields found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How many `Host` fields, and the last of them.
    pub(super) hosts: usize,
    pub(super) host: Option<HeaderValue>,
    /// Fields that speak for the client: only a trusted peer may send them.
    pub(super) vouching: Vec<HeaderName>,
    ending: u16,
    underscored: Vec<HeaderName>,
}

/// Looks at every field of a request once.
pub(super) fn look(headers: &HeaderMap) -> Found {
    let mut found = Found::default();
    for (name, value) in headers {
        match name.as_str() {
            "host" => {
                found.hosts += 1;
                found.host = Some(value.clone());
            }
            // The most usual of those that pass, so that nothing more is asked about them.
            "accept" | "user-agent" | "content-type" | "content-length" | "accept-encoding" => {}
            "forwarded" | "x-real-ip" => found.vouching.push(name.clone()),
            text if text.starts_with("x-forwarded-") => found.vouching.push(name.clone()),
            text if text.contains('_') => found.underscored.push(name.clone()),
            text => found.ending |= ends_here(text),
        }
    }
    found
}

impl Found {
    /// Removes what does not pass.
    pub(super) fn remove_from(&self, headers: &mut HeaderMap) {
        remove_ending(headers, self.ending);
        for name in &self.underscored {
            headers.remove(name);
        }
    }
}

/// Joins the `Cookie` fields into one, as they have to be before they leave HTTP/2, which may send them apart (RFC 9113,
/// section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for cookie in std::iter::once(second).chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    let mut joined =
        HeaderValue::from_bytes(&joined).expect("made of values, a semicolon and a blank");
    joined.set_sensitive(first.is_sensitive());
    headers.insert(header::COOKIE, joined);
}

/// Removes what does not pass from a response.
pub(super) fn remove_from_response(headers: &mut HeaderMap) {
    let ending = headers.keys().fold(0, |ending, name| ending | ends_here(name.as_str()));
    remove_ending(headers, ending);
}

fn remove_ending(headers: &mut HeaderMap, mut ending: u16) {
    if ending & 1 != 0 {
        remove_nominated(headers);
    }
    while ending != 0 {
        headers.remove(&ENDS_HERE[ending.trailing_zeros() as usize]);
        ending &= ending - 1;
    }
}

/// Removes what `Connection` names. `Host` and `Content-Length` stay: a sender that names them is in error (RFC 9110,
/// 7.6.1), and without them the message would be another one. So does `X-Request-Id`, which is this gateway's word by
/// now: a client must not be able to hide its requests from the nodes' logs.
fn remove_nominated(headers: &mut HeaderMap) {
    let mut nominated = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for option in value.as_bytes().split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close") {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(option)
                && name != header::HOST
                && name != header::CONTENT_LENGTH
                && name != X_REQUEST_ID
            {
                nominated.push(name);
            }
        }
    }
    for name in nominated {
        headers.remove(name);
    }
}
