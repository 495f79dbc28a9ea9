use super::*;

fn one(body: &str) -> Result<Given<'_>, String> {
    read_object(body.as_bytes(), &["a"], MAX_DEPTH).map(|[a]| a).map_err(|error| error.to_string())
}

fn nested(levels: usize, inner: &str) -> String {
    format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn wanted_fields_come_in_the_order_of_the_names() {
    let body = br#"{"b":"x","skipped":{"deep":[1,2]},"a":[1,-2.5,null,true]}"#;
    let [a, b, c] = read_object(body, &["a", "b", "c"], MAX_DEPTH).unwrap();
    assert_eq!(
        a,
        Given::List(vec![Given::Integer(1), Given::Number(-2.5), Given::Null, Given::Bool(true)])
    );
    assert_eq!(b, Given::Text("x".into()));
    assert_eq!(c, Given::Absent);
}

#[test]
fn texts_without_escapes_are_borrowed() {
    assert!(matches!(one(r#"{"a":"plain"}"#), Ok(Given::Text(Cow::Borrowed("plain")))));
    assert_eq!(one(r#"{"\u0061":"\u0062"}"#), Ok(Given::Text("b".into())));
}

#[test]
fn a_key_that_stands_twice_is_named_at_every_depth() {
    for body in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":null,"\u0061":1}"#,
        r#"{"z":1,"a":2,"z":1}"#,
        r#"{"a":{"k":[{"a":1,"a":2}]}}"#,
        r#"{"z":{"k":[{"a":1,"a":2}]}}"#,
    ] {
        let error = one(body).unwrap_err();
        assert!(error.contains("stands twice"), "{body}: {error}");
    }
    assert!(one(r#"{"a":1,"a":1}"#).unwrap_err().contains("`a`"));
    let many: Vec<_> = (0..100).map(|i| format!("\"k{i}\":0")).collect();
    assert!(one(&format!("{{{}}}", many.join(","))).is_ok());
    let twice = format!("{{{},\"k77\":0}}", many.join(","));
    assert!(one(&twice).unwrap_err().contains("`k77`"));
}

#[test]
fn nesting_ends_at_64_levels_wanted_or_not() {
    for field in ["a", "z"] {
        let fits = format!("{{\"{field}\":{}}}", nested(63, ""));
        assert!(one(&fits).is_ok(), "{field}");
        let deep = format!("{{\"{field}\":{}}}", nested(64, ""));
        assert!(one(&deep).unwrap_err().contains("64 levels"), "{field}");
        let absurd = format!("{{\"{field}\":{}", "[".repeat(100_000));
        assert!(one(&absurd).unwrap_err().contains("64 levels"), "{field}");
    }
}

#[test]
fn what_is_no_json_object_is_refused_with_a_reason() {
    for (body, reason) in [
        ("", "empty"),
        (" \n", "empty"),
        ("[]", "JSON object"),
        ("7", "JSON object"),
        ("null", "JSON object"),
        ("{", "ends early"),
        ("{\"a\":1", "ends early"),
        ("{} x", "line 1 column 4"),
        ("{}{}", "line 1 column 3"),
        ("{\"a\":01}", "syntax"),
        ("{\"a\":NaN}", "syntax"),
        ("{'a':1}", "syntax"),
        ("{\"a\":\"\u{1}\"}", "syntax"),
        ("\u{feff}{}", "syntax"),
        ("{\"a\":1e999}", "not JSON"),
    ] {
        let error = one(body).unwrap_err();
        assert!(error.contains(reason), "{body:?}: {error}");
    }
    let error = read_object(b"{\"a\":\"\xff\"}", &["a"], MAX_DEPTH).unwrap_err().to_string();
    assert!(error.contains("UTF-8") && error.contains('6'), "{error}");
}

#[test]
fn integers_beyond_64_bits_are_no_integers() {
    assert_eq!(one(r#"{"a":9223372036854775807}"#), Ok(Given::Integer(i64::MAX)));
    assert!(matches!(one(r#"{"a":9223372036854775808}"#), Ok(Given::Number(_))));
    assert!(matches!(one(r#"{"a":1.0}"#), Ok(Given::Number(_))));
}

#[test]
fn quoted_texts_are_short_and_hold_no_control_characters() {
    let shown = Given::Text("\u{1b}[31m".into()).to_string();
    assert_eq!(shown, r#""\u{1b}[31m""#);
    assert!(Given::Text("x".repeat(1000).into()).to_string().chars().count() < 70);
}
