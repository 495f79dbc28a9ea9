//! What a request says outside of its body: query parameters, the `{id}` of a path, a header.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::{failure::Failure, json::Quoted, request::Rules};

const PART: HeaderName = HeaderName::from_static("x-kamaitachi-part");

/// Undoes percent-encoding once; in a query `+` is a blank.
fn decode(text: &str, plus_is_blank: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (plus_is_blank && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => u8::try_from(hex(bytes.next())? * 16 + hex(bytes.next())?).ok()?,
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The `{id}` of a path.
///
/// # Errors
/// If its percent-encoding is broken or stands for no UTF-8, or it is longer than `max_bytes`.
pub fn path_id(encoded: &str, max_bytes: usize) -> Result<Cow<'_, str>, Failure> {
    let id = decode(encoded, false).ok_or_else(|| {
        Failure::bad(format!("id \"{}\" in the path is not percent-encoded UTF-8", Quoted(encoded)))
    })?;
    if id.len() > max_bytes {
        return Err(Failure::bad(format!("id in the path: expected at most {max_bytes} bytes")));
    }
    Ok(id)
}

/// The value of a query parameter, if the query has it.
///
/// # Errors
/// If it stands there twice, or its value is not percent-encoded UTF-8.
pub fn parameter<'q>(query: Option<&'q str>, name: &str) -> Result<Option<Cow<'q, str>>, Failure> {
    let mut found = None;
    for pair in query.unwrap_or_default().split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decode(key, true).as_deref() != Some(name) {
            continue;
        }
        if found.is_some() {
            return Err(Failure::bad(format!("query parameter `{name}` stands twice")));
        }
        found = Some(decode(value, true).ok_or_else(|| {
            Failure::bad(format!("query parameter `{name}` is not percent-encoded UTF-8"))
        })?);
    }
    Ok(found)
}

/// A query parameter that switches something on; absent is off, bare (`?clear`) is on.
///
/// # Errors
/// If it is given and neither true nor false.
pub fn flag(query: Option<&str>, name: &str) -> Result<bool, Failure> {
    match parameter(query, name)?.as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1" | "") => Ok(true),
        Some(other) => Err(Failure::bad(format!(
            "query parameter `{name}`: got \"{}\", expected true or false",
            Quoted(other)
        ))),
    }
}

/// Whether the request is a part of a larger one, whose other parts other nodes answer. `X-Kamaitachi-Part` says so: how
/// many subjects the whole request names, which the rules are about.
///
/// # Errors
/// If it is no number, or more than one request may name.
pub fn is_part(headers: &HeaderMap, rules: &Rules) -> Result<bool, Failure> {
    let Some(given) = headers.get(PART) else { return Ok(false) };
    let (max, text) = (rules.max_subjects, given.to_str().unwrap_or_default());
    match text.parse::<usize>() {
        Ok(subjects) if subjects <= max => Ok(true),
        _ => Err(Failure::bad(format!(
            "header `{PART}`: got \"{}\", expected a number of subjects, at most {max}",
            Quoted(text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_id_is_decoded_once() {
        assert_eq!(path_id("33:000001", 99), Ok("33:000001".into()));
        assert_eq!(path_id("33%3A000001+%2525", 99), Ok("33:000001+%25".into()));
        assert_eq!(path_id("%E4%B8%AD", 99), Ok("中".into()));
        for broken in ["%", "%4", "%zz", "%+1", "%ff", "%C3%28"] {
            assert!(path_id(broken, 99).is_err(), "{broken}");
        }
        assert!(path_id("four", 3).is_err());
    }

    #[test]
    fn parameters_are_found_by_name_and_may_stand_once() {
        let query = Some("a=1&b=x%20y+z&c");
        assert_eq!(parameter(query, "b"), Ok(Some("x y z".into())));
        assert_eq!(parameter(query, "c"), Ok(Some("".into())));
        assert_eq!(parameter(query, "d"), Ok(None));
        assert_eq!(parameter(None, "a"), Ok(None));
        assert!(parameter(Some("a=1&%61=2"), "a").is_err());
        assert!(parameter(Some("a=%"), "a").is_err());
    }

    #[test]
    fn flags_are_true_or_false() {
        for (query, on) in
            [("x=true", true), ("x=1", true), ("x", true), ("x=false", false), ("y=true", false)]
        {
            assert_eq!(flag(Some(query), "x"), Ok(on), "{query}");
        }
        let error = flag(Some("x=yes%0a"), "x").unwrap_err().to_string();
        assert_eq!(error, r#"query parameter `x`: got "yes\n", expected true or false"#);
    }

    #[test]
    fn a_part_says_of_how_many_subjects_it_is_one() {
        let rules = Rules { max_subjects: 9, ..Rules::default() };
        let of = |text: &'static str| {
            is_part(&HeaderMap::from_iter([(PART, http::HeaderValue::from_static(text))]), &rules)
        };
        assert_eq!(is_part(&HeaderMap::new(), &rules), Ok(false));
        assert_eq!(of("9"), Ok(true));
        for wrong in ["10", "", "x", "-1", "1.0"] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(
                error.contains("`x-kamaitachi-part`") && error.contains("at most 9"),
                "{error}"
            );
        }
    }
}
