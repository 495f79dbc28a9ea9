//! Whether the head of an HTTP/2 request is within the limits that HTTP/1 heads are held to.

use http::{Request, header::COOKIE};

use crate::framing::{FramingLimits, Violation};

/// What hyper reserves for each field, and for what stands in the place of the request line.
const RESERVED: (u32, u32) = (32, 256);
/// Heads up to this size are read in any case, so that we can say what is wrong with them.
const LEAST: u32 = 16 * 1024;

/// The size of a list of fields, counted as HTTP/2 does, below which a head may be within `limits`.
/// hyper answers larger ones by itself.
pub(super) fn list_size(limits: &FramingLimits) -> u32 {
    let u32_of = |n| u32::try_from(n).unwrap_or(u32::MAX);
    let overhead = u32_of(limits.headers).saturating_mul(RESERVED.0).saturating_add(RESERVED.1);
    u32_of(limits.head_bytes).saturating_add(overhead).max(LEAST)
}

/// Checks the head of `request` as if it had come by HTTP/1: the parts of a cookie are one field,
/// and the authority is another.
///
/// # Errors
/// It is too long, or has too many fields.
pub(super) fn within<B>(request: &Request<B>, limits: &FramingLimits) -> Result<(), Violation> {
    let (uri, fields) = (request.uri(), request.headers());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let target = uri.path_and_query().map_or(authority, |target| target.as_str().len());
    if target > limits.target_bytes {
        return Err(Violation::TargetTooLong);
    }
    let cookies = fields.get_all(COOKIE).iter().count();
    let count = fields.len() - cookies.saturating_sub(1) + usize::from(authority > 0);
    // Two blanks, the version, and the end of a line.
    let line = request.method().as_str().len() + target + 12;
    let host = if authority > 0 { "host: \r\n".len() + authority } else { 0 };
    let fields = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let bytes = line + host + fields.sum::<usize>() + 2;
    if count > limits.headers || bytes > limits.head_bytes {
        return Err(Violation::HeadTooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn check(path: &str, fields: &[(&'static str, usize)]) -> Result<(), Violation> {
        let own = Limits { head_bytes: 1_024, headers: 5, target_bytes: 512, ..Limits::default() };
        let mut request = Request::get(format!("http://a{path}"));
        for (name, length) in fields {
            request = request.header(*name, "x".repeat(*length));
        }
        within(&request.body(()).unwrap(), &FramingLimits::from(&own))
    }

    #[test]
    fn a_target_may_be_as_long_as_it_may() {
        assert_eq!(check(&format!("/{}", "x".repeat(511)), &[]), Ok(()));
        let long = format!("/{}", "x".repeat(512));
        assert_eq!(check(&long, &[]), Err(Violation::TargetTooLong));
    }

    #[test]
    fn fields_are_counted_with_the_authority_and_cookies_once() {
        assert_eq!(check("/", &[("a", 1); 4]), Ok(()));
        assert_eq!(check("/", &[("a", 1); 5]), Err(Violation::HeadTooLarge));
        assert_eq!(check("/", &[("cookie", 1); 9]), Ok(()));
    }

    #[test]
    fn a_head_is_as_long_as_it_would_be_by_http_1() {
        let rest = "GET / HTTP/1.1\r\nhost: a\r\na: \r\n\r\n".len();
        assert_eq!(check("/", &[("a", 1_024 - rest)]), Ok(()));
        assert_eq!(check("/", &[("a", 1_025 - rest)]), Err(Violation::HeadTooLarge));
    }

    #[test]
    fn what_is_within_the_limits_is_read() {
        let limits = Limits { head_bytes: 64 << 10, ..Limits::default() };
        assert!(list_size(&FramingLimits::from(&limits)) >= (64 << 10) + 32 * 100);
    }
}
