use super::*;

fn indicators() -> Indicators {
    Indicators::new(["operating_income", "parent_holder_net_profit", "net_profit"])
}

fn snapshot(body: &str) -> Result<SnapshotQuery, String> {
    let (rules, indicators) = (Rules::default(), indicators());
    let reader = Reader { rules: &rules, indicators: &indicators };
    reader.snapshot(body.as_bytes()).map_err(|error| error.to_string())
}

fn period(body: &str) -> Result<PeriodQuery, String> {
    let (rules, indicators) = (Rules::default(), indicators());
    let reader = Reader { rules: &rules, indicators: &indicators };
    reader.period(body.as_bytes()).map_err(|error| error.to_string())
}

/// A snapshot request with one subject and one more field.
fn with(field: &str, value: &str) -> Result<SnapshotQuery, String> {
    snapshot(&format!(r#"{{"subjects":"33:000001","{field}":{value}}}"#))
}

fn refused<T: std::fmt::Debug>(result: Result<T, String>, words: &[&str]) {
    let error = result.unwrap_err();
    for word in words {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

fn ids(query: &SnapshotQuery) -> Vec<u16> {
    query.indicators.iter().map(|id| id.0).collect()
}

fn list(names: &[&str]) -> SubjectList {
    let mut list = SubjectList::new();
    for name in names {
        list.push(name);
    }
    list
}

#[test]
fn the_least_request_takes_every_default() {
    let query = snapshot(r#"{"subjects":"33:000001"}"#).unwrap();
    assert_eq!(ids(&query), [0, 1]);
    assert_eq!(query.scope, Scope::Subjects(list(&["33:000001"])));
    assert_eq!(query.at, None);
    let page = Page {
        field: SortField::Indicator(IndicatorId(0)),
        order: Order::Descending,
        offset: 0,
        limit: 10,
    };
    assert_eq!(query.page, page);
}

#[test]
fn null_and_unknown_fields_are_as_good_as_absent() {
    let bare = snapshot(r#"{"subjects":"a"}"#).unwrap();
    let nulls = r#"{"subjects":"a","ids":null,"topic":null,"field":null,"order":null,
        "offset":null,"limit":null,"timestamp":null,"method":null,"unknown":{"x":[1]}}"#;
    assert_eq!(snapshot(nulls).unwrap(), bare);
    let empties = r#"{"subjects":"a","ids":"","topic":" ","field":"","order":"","offset":0,
        "limit":0,"timestamp":0,"method":""}"#;
    assert_eq!(snapshot(empties).unwrap(), bare);
}

#[test]
fn ids_are_trimmed_collapsed_and_must_exist() {
    for value in
        [r#"" net_profit , operating_income,net_profit""#, r#"["net_profit","operating_income"]"#]
    {
        assert_eq!(ids(&with("ids", value).unwrap()), [2, 0], "{value}");
    }
    for value in [r#""net_profit,ebitda""#, r#"["ebitda"]"#] {
        refused(with("ids", value), &["`ids`", "unknown indicator \"ebitda\""]);
    }
    refused(with("ids", "7"), &["`ids`", "got 7", "comma-separated"]);
    refused(with("ids", r#"["net_profit",7]"#), &["`ids`", "got 7"]);
    refused(with("ids", r#""a\"; DROP TABLE finance_data;--""#), &["unknown indicator"]);
}

#[test]
fn subjects_and_topic_stand_alone_or_together_but_not_both_empty() {
    let scope = |body| snapshot(body).map(|query| query.scope);
    assert_eq!(scope(r#"{"subjects":[" b ","a","b"]}"#), Ok(Scope::Subjects(list(&["b", "a"]))));
    assert_eq!(scope(r#"{"topic":" pool "}"#), Ok(Scope::Topic("pool".into())));
    assert_eq!(scope(r#"{"topic":"pool","subjects":""}"#), Ok(Scope::Topic("pool".into())));
    assert_eq!(
        scope(r#"{"topic":"pool","subjects":"a"}"#),
        Ok(Scope::TopicAnd("pool".into(), list(&["a"])))
    );
    for body in ["{}", r#"{"subjects":" , ","topic":""}"#, r#"{"subjects":[],"topic":null}"#] {
        refused(scope(body), &["`subjects`", "`topic`", "at least one"]);
    }
    refused(scope(r#"{"topic":5}"#), &["`topic`", "got 5,", "a string"]);
    refused(scope(r#"{"topic":5.0}"#), &["`topic`", "got 5.0,", "a string"]);
}

#[test]
fn ten_thousand_subjects_fit_and_one_more_does_not() {
    let many = |n: usize| (0..n).map(|i| format!("33:{i:06}")).collect::<Vec<_>>().join(",");
    let fits = snapshot(&format!(r#"{{"subjects":"{0},{0}"}}"#, many(10_000))).unwrap();
    assert!(matches!(fits.scope, Scope::Subjects(list) if list.len() == 10_000));
    refused(
        snapshot(&format!(r#"{{"subjects":"{}"}}"#, many(10_001))),
        &["`subjects`", "at most 10000"],
    );
}

#[test]
fn subjects_of_odd_spelling_pass_but_endless_ones_do_not() {
    assert!(snapshot(r#"{"subjects":"'; DROP TABLE x;--,\u4e2d:\u6587,,::"}"#).is_ok());
    let long = "x".repeat(257);
    refused(snapshot(&format!(r#"{{"subjects":"{long}"}}"#)), &["`subjects`", "at most 256"]);
}

#[test]
fn the_sort_field_is_an_indicator_or_one_of_four_words() {
    let field = |value: &str| with("field", value).map(|query| query.page.field);
    assert_eq!(field(r#""net_profit""#), Ok(SortField::Indicator(IndicatorId(2))));
    assert_eq!(field(r#""report_date""#), Ok(SortField::ReportDate));
    assert_eq!(field(r#""end_date""#), Ok(SortField::EndDate));
    assert_eq!(field(r#""year""#), Ok(SortField::Year));
    assert_eq!(field(r#""subject""#), Ok(SortField::Subject));
    for value in [r#""ebitda""#, r#""id""#, r#""Report_Date""#, r#""1; DROP TABLE x""#] {
        refused(field(value), &["`field`", "expected an indicator, report_date"]);
    }
    refused(field("1"), &["`field`", "got 1"]);
}

#[test]
fn order_takes_what_the_documents_list_and_nothing_else() {
    let order = |value: &str| with("order", value).map(|query| query.page.order);
    for value in ["-1", "0", r#""""#, r#""-1""#, r#""desc""#, r#""DESC""#, r#""Desc""#] {
        assert_eq!(order(value), Ok(Order::Descending), "{value}");
    }
    for value in ["1", r#""1""#, r#""asc""#, r#""ASC""#] {
        assert_eq!(order(value), Ok(Order::Ascending), "{value}");
    }
    for value in ["2", "-2", "1.0", "-1.0", "true", "[]", r#""up""#, r#""0""#, r#"" asc""#] {
        refused(order(value), &["`order`", "expected -1, 1, \"asc\" or \"desc\""]);
    }
}

#[test]
fn offset_and_limit_are_integers_in_range() {
    let limit = |value: &str| with("limit", value).map(|query| query.page.limit);
    assert_eq!(limit("0"), Ok(10));
    assert_eq!(limit("1"), Ok(1));
    assert_eq!(limit("10000"), Ok(10_000));
    for value in ["-1", "10001", "1.0", "1e3", r#""5""#, "99999999999999999999", "false"] {
        refused(limit(value), &["`limit`", "from 1 to 10000"]);
    }
    let offset = |value: &str| with("offset", value).map(|query| query.page.offset);
    assert_eq!(offset("123456789"), Ok(123_456_789));
    for value in ["-1", "0.5", r#""1""#, "[]"] {
        refused(offset(value), &["`offset`", "from 0 up"]);
    }
}

#[test]
fn timestamps_are_integers_and_zero_is_the_newest() {
    let at = |value: &str| with("timestamp", value).map(|query| query.at);
    assert_eq!(at("0"), Ok(None));
    assert_eq!(at("1696032000"), Ok(Some(1_696_032_000)));
    assert_eq!(at("-1"), Ok(Some(-1)));
    for value in ["1.5", r#""1696032000""#, "1e99", "true"] {
        refused(at(value), &["`timestamp`", "epoch seconds"]);
    }
}

#[test]
fn the_only_method_is_market_and_code() {
    assert!(with("method", r#""market:code""#).is_ok());
    refused(with("method", r#""isin""#), &["`method`", "\"isin\"", "market:code"]);
    refused(with("method", "1"), &["`method`", "got 1"]);
}

#[test]
fn a_period_needs_both_ends_in_order() {
    let query = period(r#"{"topic":"pool","from":5,"to":5}"#).unwrap();
    assert_eq!((query.from, query.to), (5, 5));
    assert!(period(r#"{"topic":"pool","from":-9,"to":0}"#).is_ok());
    refused(period(r#"{"topic":"pool","to":5}"#), &["`from`", "required"]);
    refused(period(r#"{"topic":"pool","from":5,"to":null}"#), &["`to`", "required"]);
    refused(period(r#"{"topic":"pool","from":6,"to":5}"#), &["`from`", "got 6", "which is 5"]);
    refused(period(r#"{"topic":"pool","from":"6","to":7}"#), &["`from`", "got \"6\""]);
    refused(period(r#"{"from":6,"to":7}"#), &["`subjects`", "`topic`"]);
}

#[test]
fn a_selection_needs_its_id_its_topic_and_ids() {
    let (rules, indicators) = (Rules::default(), indicators());
    let reader = Reader { rules: &rules, indicators: &indicators };
    let ask =
        |body: &str| reader.selection_snapshot(body.as_bytes()).map_err(|error| error.to_string());
    let full = r#"{"selection":{"id":"concept","topic":"pool","subject":"a, b","keyword":" Bank "},
        "ids":"net_profit"}"#;
    let selection = Selection {
        id: "concept".into(),
        topic: "pool".into(),
        keyword: "Bank".into(),
        subjects: Some(list(&["a", "b"])),
    };
    assert_eq!(ask(full).unwrap().scope, Scope::Selection(selection));
    let least = ask(r#"{"selection":{"id":"c","topic":"p"},"ids":["net_profit"]}"#).unwrap();
    assert!(matches!(least.scope, Scope::Selection(Selection { subjects: None, .. })));
    refused(ask(r#"{"ids":"net_profit"}"#), &["`selection`", "required"]);
    refused(ask(r#"{"selection":[],"ids":"net_profit"}"#), &["`selection`", "an array"]);
    for (given, missing) in
        [(r#"{"topic":"p"}"#, "selection.id"), (r#"{"id":"c","topic":" "}"#, "selection.topic")]
    {
        refused(
            ask(&format!(r#"{{"selection":{given},"ids":"net_profit"}}"#)),
            &[missing, "required"],
        );
    }
    refused(ask(r#"{"selection":{"id":"c","topic":"p"}}"#), &["`ids`", "required"]);
    refused(ask(r#"{"selection":{"id":"c","topic":"p"},"ids":" , "}"#), &["`ids`", "required"]);
    let dated =
        reader.selection_period(br#"{"selection":{"id":"c","topic":"p"},"ids":"net_profit"}"#);
    refused(dated.map_err(|error| error.to_string()), &["`from`", "required"]);
}
