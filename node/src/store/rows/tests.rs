//! What the parsers take, and how they refuse the rest.

use super::{BadRows, Format, RowBatch, RowReader, parse};

fn refused(format: Format, text: &str) -> String {
    parse(format, text.as_bytes()).expect_err(text).to_string()
}

/// The rows as text: subject, date, values by name, name of the subject.
fn shown(batch: &RowBatch) -> Vec<String> {
    let value = |(id, value): &(_, Option<f64>)| {
        format!("{}={value:?}", batch.indicators.name(*id).unwrap())
    };
    let row = |row: &super::RowWrite| {
        let values: Vec<String> = row.values.iter().map(value).collect();
        let name = row.facts.as_ref().and_then(|facts| facts.name.clone());
        format!("{} {} {} {name:?}", row.subject, row.report_date, values.join(" "))
    };
    batch.rows.iter().map(row).collect()
}

#[test]
fn both_forms_give_the_same_rows() {
    let ndjson = r#"{"subject":"33:000001","report_date":1703980800,"data":{"a":1.5,"b":null},"name":"平安"}

{"data":{"a":-2,"b":3e2},"report_date":-1,"subject":"17:600606","name":null,"topic":""}
"#;
    let csv = "\u{feff}subject,report_date,a,b,name,topic\r\n33:000001,1703980800,1.5,,平安,\r\n\
               17:600606,-1,-2,3e2,,\r\n";
    let expected = [
        "33:000001 1703980800 a=Some(1.5) b=None Some(\"平安\")",
        "17:600606 -1 a=Some(-2.0) b=Some(300.0) None",
    ];
    assert_eq!(shown(&parse(Format::Ndjson, ndjson.as_bytes()).unwrap()), expected);
    assert_eq!(shown(&parse(Format::Csv, csv.as_bytes()).unwrap()), expected);
}

#[test]
fn names_the_first_bad_line_of_ndjson_and_why() {
    let good = "{\"subject\":\"33:1\",\"report_date\":1,\"data\":{}}\n\n";
    for (line, reason) in [
        ("{", "EOF while parsing an object (column 1)"),
        ("[]", "invalid type: sequence, expected an object with subject, report_date and data"),
        (r#"{"report_date":1}"#, "subject: missing"),
        (r#"{"subject":"33:1"}"#, "report_date: missing"),
        (r#"{"subject":"331"}"#, r#"subject: expected market:code, such as 33:000001, got "331""#),
        (r#"{"subject":7}"#, "subject: expected a text, got 7"),
        (
            r#"{"report_date":"x"}"#,
            r#"report_date: expected epoch seconds, a whole number, got "x""#,
        ),
        (r#"{"report_date":1.5}"#, "report_date: expected epoch seconds, a whole number, got 1.5"),
        (
            r#"{"report_date":1703980800000}"#,
            "report_date: expected epoch seconds of the years 0001 to 9999, got 1703980800000",
        ),
        (r#"{"data":{"a":"1"}}"#, r#""a": expected a number or null, got "1""#),
        (r#"{"data":{"a":1e999}}"#, "a: number out of range"),
        (r#"{"data":{"a":NaN}}"#, "a: expected value"),
        (r#"{"data":{"a":[1]}}"#, "a: expected a single value, got an array"),
        (r#"{"data":{"a":1,"a":2}}"#, r#""a": named twice"#),
        (r#"{"data":7}"#, "invalid type: integer `7`, expected an object of indicators"),
        (r#"{"report_date":1,"report_date":1}"#, "report_date: named twice"),
        (r#"{"name":"a","name":"a"}"#, "name: named twice"),
        (r#"{"name":{}}"#, "name: expected a single value, got an object"),
        (
            r#"{"nmae":"a"}"#,
            "unknown field \"nmae\", expected subject, report_date, data, name, end_date, year, \
             period, declare_date, category, topic, status, listing_date",
        ),
        (r#"{"subject":"33:1","report_date":1} x"#, "trailing characters (column 36)"),
    ] {
        let text = format!("{good}{line}\n{good}");
        assert_eq!(refused(Format::Ndjson, &text), format!("line 3: {reason}"), "{line}");
    }
}

#[test]
fn names_the_first_bad_line_of_csv_and_why() {
    for (text, reason) in [
        ("", "line 1: expected a header with subject and report_date"),
        ("subject,a\n", "line 1: expected a column report_date in the header"),
        ("report_date,a\n", "line 1: expected a column subject in the header"),
        ("subject,report_date,a,a\n", "line 1: column \"a\": named twice"),
        ("subject,report_date,\n", "line 1: column 3: expected a name"),
        ("subject,report_date\n33:1,1\n33:1\n", "line 3: expected 2 cells as in the header, got 1"),
        (
            "subject,report_date\n33:1,1\n\n33:1,1.5\n",
            "line 4: report_date: expected epoch seconds, a whole number, got \"1.5\"",
        ),
        (
            "subject,report_date\nabc,1\n",
            "line 2: subject: expected market:code, such as 33:000001, got \"abc\"",
        ),
        (
            "\r\nsubject,report_date\r\n\"33:1\",\"1\"\r\n\r\n33:1,\"1\"\"\"",
            "line 5: report_date: expected epoch seconds, a whole number, got \"1\\\"\"",
        ),
        (
            "subject,report_date\n33:1,\"1\n33:1,1\n",
            "line 2: expected a quoted cell to end in its line",
        ),
        (
            "subject,report_date,a\n33:1,1,inf\n",
            "line 2: a: expected a number or an empty cell, got \"inf\"",
        ),
        (
            "subject,report_date,a\n33:1,1,1e999\n",
            "line 2: a: expected a number or an empty cell, got \"1e999\"",
        ),
        (
            "subject,report_date,a\n33:1,1,NaN\n",
            "line 2: a: expected a number or an empty cell, got \"NaN\"",
        ),
    ] {
        assert_eq!(refused(Format::Csv, text), reason, "{text}");
    }
}

#[test]
fn a_batch_with_more_indicators_than_a_store_can_hold_is_refused() {
    let values: Vec<String> = (0..2_001).map(|n| format!("\"i{n}\":1")).collect();
    let line = format!("{{\"data\":{{{}}}}}", values.join(","));
    assert_eq!(refused(Format::Ndjson, &line), "line 1: more indicators than a store can hold");
}

#[test]
fn reads_a_long_text_in_batches() {
    let csv: String = (0..10).map(|n| format!("33:{n},{n},{n}\n")).collect();
    let csv = format!("subject,report_date,a\n{csv}");
    let mut reader = RowReader::new(Format::Csv, csv.as_bytes());
    let lengths: Vec<usize> =
        std::iter::repeat_with(|| reader.batch(4).unwrap().len()).take(4).collect();
    assert_eq!(lengths, [4, 4, 2, 0]);
    let mut reader =
        RowReader::new(Format::Ndjson, &b"{\"subject\":\"a:b\",\"report_date\":1}\nx"[..]);
    assert_eq!(reader.batch(1).unwrap().len(), 1);
    assert!(matches!(reader.batch(1), Err(BadRows::Line { line: 2, .. })));
}
