//! One header or trailer field, and the few whose values frame a message.

use super::{Violation, classes};

/// The fields that frame or route a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Host,
    ContentLength,
    TransferEncoding,
    /// Spelt with underscores for hyphens, which some servers take for the real one.
    Lookalike,
    Other,
}

/// Splits a line (without its end) into name and value, blanks around it and all.
pub(super) fn split(line: &[u8]) -> Result<(Name, &[u8]), Violation> {
    let mut rest = line;
    while let [byte, tail @ ..] = rest
        && classes::is_token(*byte)
    {
        rest = tail;
    }
    let end = line.len() - rest.len();
    match (end, rest) {
        (1.., [b':', value @ ..]) => Ok((name(&line[..end]), value)),
        (0, [b' ' | b'\t', ..]) => Err(Violation::Folding),
        (1.., [b' ' | b'\t', ..]) => Err(Violation::SpaceBeforeColon),
        _ => Err(Violation::FieldName),
    }
}

/// Looks closely only at names whose length can matter.
fn name(name: &[u8]) -> Name {
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => Name::Host,
        14 if name.eq_ignore_ascii_case(b"content-length") => Name::ContentLength,
        14 if name.eq_ignore_ascii_case(b"content_length") => Name::Lookalike,
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Name::TransferEncoding,
        17 if name.eq_ignore_ascii_case(b"transfer_encoding") => Name::Lookalike,
        _ => Name::Other,
    }
}

/// A decimal number of at most 19 digits, which always fits.
pub(super) fn content_length(value: &[u8]) -> Result<u64, Violation> {
    if value.is_empty() || value.len() > 19 {
        return Err(Violation::ContentLength);
    }
    value.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'9' => Ok(n * 10 + u64::from(b - b'0')),
        _ => Err(Violation::ContentLength),
    })
}

/// Whether `value` is a host with an optional port: a name, an IPv4 address or a bracketed IPv6
/// address. Not empty: RFC 9110 has that for targets without an authority, and no such target comes
/// to a server of HTTP.
pub(super) fn is_host(value: &[u8]) -> bool {
    let digits = value.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, port) = value.split_at(value.len() - digits);
    let host = match before {
        [host @ .., b':'] if is_port(port) => host,
        _ => value,
    };
    match host {
        [b'[', inside @ .., b']'] => {
            let ok = |b: &u8| b.is_ascii_hexdigit() || b":.".contains(b);
            !inside.is_empty() && inside.iter().all(ok)
        }
        name => !name.is_empty() && classes::all_host(name),
    }
}

/// Whether digits are a port: none, or a number up to 65535.
fn is_port(digits: &[u8]) -> bool {
    digits.len() < 5 || (digits.len() == 5 && digits <= b"65535".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_only_looks_like_one() {
        for good in
            ["a", "a.b-c_d", "127.0.0.1:80", "a:", "a:65535", "[::1]", "[::1]:8080", "%41.b"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:99999",
            "a:999999",
            "[::1]:65536",
            "[::1",
            "::1",
            "[]",
            "[x]",
            "[::1]x",
            "a]",
            "a?b",
            "a#b",
            "a\\b",
            "a\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn content_lengths_are_plain_numbers_that_fit() {
        assert_eq!(content_length(b"0"), Ok(0));
        assert_eq!(content_length(b"9999999999999999999"), Ok(9_999_999_999_999_999_999));
        for bad in ["", "+1", "-1", "1 1", "1,1", "0x1", "1.0", "18446744073709551616", "\u{661}"] {
            assert_eq!(content_length(bad.as_bytes()), Err(Violation::ContentLength), "{bad}");
        }
    }
}
