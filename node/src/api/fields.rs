//! The rules a single request field can follow. Every refusal names the field, the value given
//! and what was expected.

use std::{borrow::Cow, ops::RangeInclusive};

use super::{
    failure::Failure,
    json::{Given, Quoted},
};

/// A refusal of `field`, in the words every refusal of a field has.
#[must_use]
pub fn refuse(field: &str, given: &Given<'_>, expected: &str) -> Failure {
    if given.is_absent() {
        return Failure::bad(format!("field `{field}` is required: expected {expected}"));
    }
    Failure::bad(format!("field `{field}`: got {given}, expected {expected}"))
}

/// A text without the blanks around it; absent, `null`, empty and blank read as `None`.
///
/// # Errors
/// If the field is given and no string, or longer than `max_bytes`.
pub fn text<'a>(
    field: &str,
    given: Given<'a>,
    max_bytes: usize,
) -> Result<Option<Cow<'a, str>>, Failure> {
    match given {
        Given::Absent | Given::Null => Ok(None),
        Given::Text(text) => {
            let text = trimmed(text);
            short_enough(field, &text, max_bytes)?;
            Ok((!text.is_empty()).then_some(text))
        }
        given => Err(refuse(field, &given, "a string")),
    }
}

/// Passes on the names of a comma-separated string or an array of strings, in order, without the
/// blanks around them and without empty ones.
///
/// # Errors
/// If the field is anything else, a name is longer than `max_bytes`, or `take` fails.
pub fn each_name(
    field: &str,
    given: &Given<'_>,
    max_bytes: usize,
    mut take: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    const EXPECTED: &str = "a comma-separated string or an array of strings";
    let mut take = |name: &str| {
        let name = name.trim();
        if name.is_empty() {
            return Ok(());
        }
        short_enough(field, name, max_bytes)?;
        take(name)
    };
    match given {
        Given::Absent | Given::Null => Ok(()),
        Given::Text(text) => text.split(',').try_for_each(take),
        Given::List(items) => items.iter().try_for_each(|item| match item {
            Given::Text(name) => take(name),
            other => Err(Failure::bad(format!(
                "field `{field}`: got {other} in the array, expected {EXPECTED}"
            ))),
        }),
        given => Err(refuse(field, given, EXPECTED)),
    }
}

/// An integer within `range`; absent and `null` read as `None`.
///
/// # Errors
/// If the field is anything but a JSON integer in that range.
pub fn integer(
    field: &str,
    given: &Given<'_>,
    range: RangeInclusive<i64>,
    expected: &str,
) -> Result<Option<i64>, Failure> {
    match given {
        Given::Absent | Given::Null => Ok(None),
        Given::Integer(value) if range.contains(value) => Ok(Some(*value)),
        given => Err(refuse(field, given, expected)),
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => match text.trim() {
            same if same.len() == text.len() => Cow::Owned(text),
            shorter => Cow::Owned(shorter.to_owned()),
        },
    }
}

fn short_enough(field: &str, text: &str, max_bytes: usize) -> Result<(), Failure> {
    if text.len() <= max_bytes {
        return Ok(());
    }
    Err(Failure::bad(format!(
        "field `{field}`: \"{}\" is {} bytes long, expected at most {max_bytes}",
        Quoted(text),
        text.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::read_object;

    fn names_of(value: &str) -> Result<Vec<String>, String> {
        let body = format!("{{\"ids\":{value}}}");
        let mut names = Vec::new();
        read_object(body.as_bytes(), &["ids"], 64)
            .and_then(|[ids]| {
                each_name("ids", &ids, 32, |name| {
                    names.push(name.to_owned());
                    Ok(())
                })
            })
            .map_err(|error| error.to_string())?;
        Ok(names)
    }

    #[test]
    fn names_are_trimmed_and_empty_ones_dropped() {
        for value in [r#"" b , a,,""#, r#"["b"," a ",""]"#, r#""\u0062,a""#] {
            assert_eq!(names_of(value).unwrap(), ["b", "a"], "{value}");
        }
        for value in [r#""""#, r#"" , ""#, "[]", r#"[" "]"#, "null"] {
            assert!(names_of(value).unwrap().is_empty(), "{value}");
        }
    }

    #[test]
    fn what_is_no_list_of_names_is_refused_by_field_value_and_expectation() {
        for (value, quoted) in
            [("5", "5"), ("true", "true"), ("{}", "an object"), ("[1]", "1"), ("[[]]", "an array")]
        {
            let error = names_of(value).unwrap_err();
            assert!(error.contains("`ids`") && error.contains(quoted), "{error}");
            assert!(error.contains("comma-separated string or an array"), "{error}");
        }
        let error = names_of(&format!("\"{}\"", "x".repeat(33))).unwrap_err();
        assert!(error.contains("33 bytes") && error.contains("at most 32"), "{error}");
    }

    #[test]
    fn integers_are_json_integers_in_range_and_nothing_else() {
        let check = |given: &Given<'_>| integer("limit", given, 0..=10, "0 to 10");
        assert_eq!(check(&Given::Integer(10)), Ok(Some(10)));
        assert_eq!(check(&Given::Null), Ok(None));
        for given in
            [Given::Integer(11), Given::Integer(-1), Given::Number(1.0), Given::Text("1".into())]
        {
            let error = check(&given).unwrap_err().to_string();
            assert_eq!(error, format!("field `limit`: got {given}, expected 0 to 10"));
        }
    }
}
