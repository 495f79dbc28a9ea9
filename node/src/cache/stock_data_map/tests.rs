use super::*;
use crate::{
    model::SubjectInfo,
    query::testing::World,
    store::{Found, Need, Rows},
};

fn need(from: Epoch, to: Epoch, ids: &[u16]) -> Need {
    let indicators = ids.iter().map(|id| IndicatorId(*id)).collect();
    Need { subject: "33:1".into(), rows: Rows::Between { from, to }, indicators }
}

fn learn(old: Option<&StockDataMap>, world: &World, need: &Need) -> StockDataMap {
    let found = world.answer(need);
    StockDataMap::merge(old, &need.subject, &[Learned { need, found: &found }], 7)
}

fn world() -> World {
    let mut world = World::default();
    for day in 0..40 {
        world.put("33:1", day, &[(0, Some(day as f64)), (1, None), (2, Some(-0.0))]);
    }
    world
}

#[test]
fn keeps_facts_values_and_nulls_through_any_order_of_merging() {
    let world = world();
    let parts = [need(0, 20, &[0, 2]), need(10, 39, &[1]), need(15, 30, &[2, 0])];
    let merged = |order: [usize; 3]| {
        order.iter().fold(None, |old: Option<StockDataMap>, at| {
            Some(learn(old.as_ref(), &world, &parts[*at]))
        })
    };
    let one = merged([0, 1, 2]).unwrap();
    for other in [merged([2, 1, 0]).unwrap(), merged([1, 0, 2]).unwrap()] {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
    let facts = one.facts(33);
    assert_eq!(facts.end_date, b"2003-01-03");
    assert_eq!(facts.declare_date, br#""d\"33""#);
    assert_eq!((facts.period, facts.year), (&b"596002"[..], &b"2003"[..]));
    assert!(one.column(IndicatorId(1)).unwrap().iter().all(|value| value.is_nan()));
    assert_eq!(one.column(IndicatorId(2)).unwrap()[7].to_bits(), (-0.0_f64).to_bits());
    assert!(one.column(IndicatorId(0)).unwrap()[35].is_nan(), "not read there");
    assert_eq!((one.len(), one.revision()), (40, 7));
}

#[test]
fn columns_that_know_the_same_share_it() {
    let map = learn(None, &world(), &need(0, 39, &[0, 1, 2]));
    assert_eq!(map.known.len(), 1);
    let map = learn(Some(&map), &world(), &need(0, 50, &[1]));
    assert_eq!(map.known.len(), 2);
    assert!(map.known(IndicatorId(1)).covers(0, 50) && map.known(IndicatorId(0)).covers(0, 39));
    assert!(map.known(IndicatorId(9)).is_empty());
}

#[test]
fn fills_in_what_the_store_does_not_say_of_a_subject() {
    let mut world = world();
    let head = |world: &World| {
        let map = learn(None, world, &need(0, 0, &[0]));
        assert_eq!(map.subject_json(), b"33:1");
        String::from_utf8(map.head().to_vec()).unwrap()
    };
    assert_eq!(
        head(&world),
        r#"{"subject":{"subject":"33:1","name":"33:1","status":"213001","listing_date":"","category":"stock"},"data":"#
    );
    world.stocks.get_mut("33:1").unwrap().info = SubjectInfo {
        name: Some("平安 \"A\"".into()),
        status: Some("1".into()),
        listing_date: Some("1991-04-03".into()),
        category: Some("fund".into()),
    };
    assert_eq!(
        head(&world),
        r#"{"subject":{"subject":"33:1","name":"平安 \"A\"","status":"1","listing_date":"1991-04-03","category":"fund"},"data":"#
    );
}

#[test]
fn takes_what_json_cannot_write_for_null() {
    let mut world = world();
    world.put("33:1", 0, &[(0, Some(f64::INFINITY)), (1, Some(f64::NAN))]);
    let map = learn(None, &world, &need(0, 0, &[0, 1]));
    assert!(map.column(IndicatorId(0)).unwrap()[0].is_nan());
    assert!(map.column(IndicatorId(1)).unwrap()[0].is_nan());
}

#[test]
fn a_subject_that_is_gone_takes_its_rows_with_it() {
    let map = learn(None, &world(), &need(0, 39, &[0]));
    let wanted = need(40, 50, &[0]);
    let found = Found::default();
    let learned = [Learned { need: &wanted, found: &found }];
    let gone = StockDataMap::merge(Some(&map), &wanted.subject, &learned, 8);
    assert!(!gone.exists() && gone.is_empty() && gone.head().is_empty());
}

#[test]
fn says_what_it_takes() {
    let map = learn(None, &world(), &need(0, 39, &[0, 1, 2]));
    // Rows, values and text alone; the rest of it is small beside them.
    let least = 40 * (24 + 3 * 8) + map.text.len();
    assert!(map.bytes() > least && map.bytes() < least + 800, "{} of {least}", map.bytes());
}
