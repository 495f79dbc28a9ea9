use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    cache::stock_data_map::Learned,
    model::{IndicatorId, Indicators, Subject, SubjectInfo},
    query::{
        Order, Scope, SortField, SubjectList,
        testing::{World, ids},
    },
    store::{Need, Rows},
};

fn labels() -> Labels {
    Labels::new(&Indicators::new(["income", "odd \"name\"", "cost"]))
}

/// Everything a world has, as the cache would know it.
fn known(world: &World) -> Vec<Known> {
    let all = |(subject, _): (&String, _)| {
        let subject = Subject::from(&**subject);
        let rows = Rows::Between { from: i64::MIN, to: i64::MAX };
        let need = Need { subject: subject.clone(), rows, indicators: (*ids(&[0, 1, 2])).into() };
        let found = world.answer(&need);
        Arc::new(StockDataMap::merge(None, &subject, &[Learned { need: &need, found: &found }], 1))
    };
    world.stocks.iter().map(all).collect()
}

fn page(field: SortField, order: Order) -> Page {
    Page { field, order, offset: 0, limit: 10 }
}

fn snapshot_query(page: Page) -> SnapshotQuery {
    let scope = Scope::Subjects(SubjectList::new());
    SnapshotQuery { indicators: ids(&[0, 1]), scope, page, at: None }
}

fn period_query(from: Epoch, to: Epoch) -> PeriodQuery {
    let scope = Scope::Subjects(SubjectList::new());
    PeriodQuery { indicators: ids(&[1, 0]), scope, from, to }
}

fn text(body: Vec<u8>) -> String {
    let body = String::from_utf8(body).unwrap();
    let data = body.strip_prefix(r#"{"status_code":0,"status_msg":"success","data":"#).unwrap();
    data.strip_suffix('}').unwrap().to_owned()
}

fn two() -> World {
    let mut world = World::default();
    world.put("33:a", 21, &[(0, Some(100.0)), (1, None)]);
    world.put("33:a", 22, &[(0, Some(-0.0)), (1, Some(1e300))]);
    world.put("33:b", 22, &[(0, None), (1, Some(0.1 + 0.2))]);
    world.stocks.get_mut("33:b").unwrap().info =
        SubjectInfo { name: Some("B".into()), ..SubjectInfo::default() };
    world
}

const A: &str =
    r#"{"subject":"33:a","name":"33:a","status":"213001","listing_date":"","category":"stock"}"#;
const B: &str =
    r#"{"subject":"33:b","name":"B","status":"213001","listing_date":"","category":"stock"}"#;

#[test]
fn a_snapshot_holds_the_values_there_are() {
    let maps = known(&two());
    let query = snapshot_query(page(SortField::Subject, Order::Ascending));
    assert_eq!(
        text(snapshot(&maps, &query, &labels())),
        format!(
            r#"[{{"subject":{A},"data":{{"income":-0.0,"odd \"name\"":1e300}}}},{{"subject":{B},"data":{{"odd \"name\"":0.30000000000000004}}}}]"#
        )
    );
    assert_eq!(text(snapshot(&[], &query, &labels())), "[]");
    let before = SnapshotQuery { at: Some(20), ..query };
    assert_eq!(text(snapshot(&maps, &before, &labels())), "[]");
}

#[test]
fn a_period_holds_rows_newest_first_and_nulls() {
    let maps = known(&two());
    let row = |s: &str, day: u8, period: u8, declared: &str, odd: &str, income: &str| {
        format!(
            r#"{{"end_date":"2002-01-0{day}","period":"59600{period}","declare_date":{declared},"year":"2002","combine":"33:{s}:2002_59600{period}","odd \"name\"":{odd},"income":{income}}}"#
        )
    };
    let a22 = row("a", 2, 3, "null", "1e300", "-0.0");
    let a21 = row("a", 1, 2, r#""d\"21""#, "null", "100.0");
    let b22 = row("b", 2, 3, "null", "0.30000000000000004", "null");
    assert_eq!(
        text(period(&maps, &period_query(0, 30), &labels())),
        format!(r#"[{{"subject":{A},"data":[{a22},{a21}]}},{{"subject":{B},"data":[{b22}]}}]"#)
    );
    assert_eq!(
        text(period(&maps, &period_query(21, 21), &labels())),
        format!(r#"[{{"subject":{A},"data":[{a21}]}}]"#)
    );
    assert_eq!(text(period(&maps, &period_query(30, 40), &labels())), "[]");
    let descending = page(SortField::Indicator(IndicatorId(0)), Order::Descending);
    assert_eq!(
        text(by_date(&maps, &period_query(0, 30), &descending, &labels())),
        format!(
            r#"{{"2002-01-01":[{{"subject":{A},"data":{a21}}}],"2002-01-02":[{{"subject":{A},"data":{a22}}},{{"subject":{B},"data":{b22}}}]}}"#
        )
    );
    let second = Page { offset: 1, ..descending };
    assert_eq!(
        text(by_date(&maps, &period_query(0, 30), &second, &labels())),
        format!(r#"{{"2002-01-01":[],"2002-01-02":[{{"subject":{B},"data":{b22}}}]}}"#)
    );
    assert_eq!(text(by_date(&maps, &period_query(30, 40), &descending, &labels())), "{}");
}

#[test]
fn says_how_large_an_answer_gets_well_enough_to_need_no_second_block() {
    let maps = known(&two());
    let query = snapshot_query(page(SortField::Subject, Order::Ascending));
    for body in [snapshot(&maps, &query, &labels()), period(&maps, &period_query(0, 30), &labels())]
    {
        let (size, block) = (body.len(), body.capacity());
        assert!(block < size + 200, "{size} in {block}");
    }
}

fn field() -> impl Strategy<Value = SortField> {
    prop_oneof![
        3 => (0..3_u16).prop_map(|id| SortField::Indicator(IndicatorId(id))),
        1 => Just(SortField::ReportDate),
        1 => Just(SortField::EndDate),
        1 => Just(SortField::Year),
        1 => Just(SortField::Subject),
    ]
}

proptest! {
    #[test]
    fn a_page_is_cut_as_if_all_had_been_sorted(
        rows in prop::collection::vec((0..40_u8, 0..30_i64, prop::option::of(-3..3_i8)), 0..80),
        field in field(),
        descending in any::<bool>(),
        offset in 0..50_usize,
        limit in 1..50_usize,
        at in 0..40_i64,
    ) {
        let mut world = World::default();
        for (subject, date, value) in rows {
            // Few values and zeros of both signs, so that there are ties.
            let value = value.map(|v| if v == 0 { -0.0 } else { f64::from(v.max(0)) });
            world.put(&format!("33:{subject}"), date, &[(0, value), (1, Some(1.0))]);
        }
        let order = if descending { Order::Descending } else { Order::Ascending };
        let scope = Scope::Subjects(world.stocks.keys().collect());
        let page = Page { field, order, offset, limit };
        let query = SnapshotQuery { indicators: ids(&[0, 2]), scope, page, at: Some(at) };
        let names = [(IndicatorId(0), "income".into()), (IndicatorId(2), "cost".into())];
        let got: serde_json::Value =
            serde_json::from_str(&text(snapshot(&known(&world), &query, &labels()))).unwrap();
        prop_assert_eq!(got, world.snapshot(&query, &names));
        let period = PeriodQuery {
            indicators: query.indicators.clone(), scope: query.scope.clone(), from: at - 15, to: at,
        };
        let got: serde_json::Value =
            serde_json::from_str(&text(by_date(&known(&world), &period, &page, &labels()))).unwrap();
        prop_assert_eq!(got, world.selection_period(&period, page, &names));
    }

    #[test]
    fn numbers_read_back_as_what_they_were(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let mut world = World::default();
        world.put("33:a", 1, &[(0, Some(value))]);
        let query = snapshot_query(page(SortField::Subject, Order::Ascending));
        let body = text(snapshot(&known(&world), &query, &labels()));
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(read[0]["data"]["income"].as_f64().unwrap().to_bits(), bits);
    }
}
