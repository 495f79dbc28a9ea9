use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{cache::stock_data_map::Learned, query::testing::World, store::Found};

fn subject() -> Subject {
    "33:000001".into()
}

/// A world of days 0 to 99 in which some have rows, with two indicators in three.
fn world(days: &BTreeSet<i64>) -> World {
    let mut world = World::default();
    for day in days {
        let value = |id: u16| ((day + i64::from(id)) % 3 != 0).then_some(*day as f64 + 0.5);
        world.put("33:000001", *day, &[(0, value(0)), (1, value(1)), (2, value(2))]);
    }
    world
}

fn ids(ids: &[u16]) -> Vec<IndicatorId> {
    ids.iter().map(|id| IndicatorId(*id)).collect()
}

fn range(of: &[u16], from: i64, to: i64) -> Ask {
    Ask::new(&ids(of), None, Span::Range { from, to })
}

fn newest(of: &[u16], at: i64) -> Ask {
    Ask::new(&ids(of), None, Span::Newest { at })
}

/// Plans, reads and merges; returns the new knowledge and what was read.
fn learn(
    world: &World,
    map: Option<&StockDataMap>,
    ask: &Ask,
) -> (StockDataMap, Vec<(Rows, Vec<u16>)>) {
    let plan = ask.plan(&subject(), map);
    let found: Vec<Found> = plan.needs.iter().map(|need| world.answer(need)).collect();
    let learned: Vec<Learned<'_>> =
        plan.needs.iter().zip(&found).map(|(need, found)| Learned { need, found }).collect();
    let reads = plan.needs.iter().map(|n| (n.rows, n.indicators.iter().map(|i| i.0).collect()));
    (StockDataMap::merge(map, &subject(), &learned, 1), reads.collect())
}

fn between(from: i64, to: i64, of: &[u16]) -> (Rows, Vec<u16>) {
    (Rows::Between { from, to }, of.to_vec())
}

#[test]
fn reads_only_the_missing_indicator_and_only_the_missing_range() {
    let world = world(&(10..90).collect());
    let (known, reads) = learn(&world, None, &range(&[0, 1], 30, 60));
    assert_eq!(reads, [between(30, 60, &[0, 1])]);
    // Inside: nothing, of either or both, as a range or as a newest row.
    for inside in
        [range(&[0], 30, 60), range(&[1, 0], 31, 59), newest(&[1], 45), newest(&[0, 1], 60)]
    {
        assert!(inside.is_known(&known), "{inside:?}");
        assert!(inside.plan(&subject(), Some(&known)).needs.is_empty());
    }
    let (known, reads) = learn(&world, Some(&known), &range(&[0, 1, 2], 30, 60));
    assert_eq!(reads, [between(30, 60, &[2])]);
    let (known, reads) = learn(&world, Some(&known), &range(&[0, 1], 10, 60));
    assert_eq!(reads, [between(10, 29, &[0, 1])]);
    let (_, reads) = learn(&world, Some(&known), &range(&[2, 0], 5, 70));
    assert_eq!(
        reads,
        [between(5, 29, &[2]), between(61, 70, &[2]), between(5, 9, &[0]), between(61, 70, &[0])]
    );
}

#[test]
fn reads_the_newest_row_once_and_knows_that_nothing_is_newer() {
    let world = world(&[10, 50].into());
    let (known, reads) = learn(&world, None, &newest(&[0], i64::MAX));
    assert_eq!(reads, [(Rows::Newest { not_before: i64::MIN, at: i64::MAX }, vec![0])]);
    for at in [50, 51, 1000, i64::MAX] {
        assert!(newest(&[0], at).is_known(&known));
    }
    // Another indicator of it is read where the row is; an older row is looked for below it.
    let (known, reads) = learn(&world, Some(&known), &newest(&[0, 1], i64::MAX));
    assert_eq!(reads, [(Rows::Newest { not_before: 50, at: i64::MAX }, vec![1])]);
    let (known, reads) = learn(&world, Some(&known), &newest(&[0], 49));
    assert_eq!(reads, [(Rows::Newest { not_before: i64::MIN, at: 49 }, vec![0])]);
    let (known, reads) = learn(&world, Some(&known), &newest(&[0], 9));
    assert_eq!(reads, [(Rows::Newest { not_before: i64::MIN, at: 9 }, vec![0])]);
    assert!(newest(&[2], 9).is_known(&known), "known to be empty, whatever the indicator");
    assert!(range(&[0], i64::MIN, i64::MAX).is_known(&known), "all there is has been seen");
}

#[test]
fn looks_only_above_what_is_known_for_a_newer_row() {
    let world = world(&(10..=60).collect());
    let (known, _) = learn(&world, None, &range(&[0], 10, 40));
    let (_, reads) = learn(&world, Some(&known), &newest(&[0], 100));
    assert_eq!(reads, [(Rows::Newest { not_before: 41, at: 100 }, vec![0])]);
    let (_, reads) = learn(&world, Some(&known), &newest(&[1], 100));
    assert_eq!(reads, [(Rows::Newest { not_before: 40, at: 100 }, vec![1])]);
}

#[test]
fn an_unknown_subject_is_asked_for_once() {
    let (known, _) = learn(&World::default(), None, &range(&[0], 5, 9));
    assert!(!known.exists());
    assert!(newest(&[1], 3).is_known(&known) && range(&[2], 0, 99).is_known(&known));
    assert!(known.bytes() < 500, "{}", known.bytes());
}

#[test]
fn joins_gaps_with_little_between_them_and_no_others() {
    let world = world(&(0..100).collect());
    let (known, _) = learn(&world, None, &range(&[0], 20, 20 + 15));
    let (_, reads) = learn(&world, Some(&known), &range(&[0], 0, 99));
    assert_eq!(reads, [between(0, 99, &[0])]);
    let (known, _) = learn(&world, None, &range(&[0], 20, 20 + 16));
    let (_, reads) = learn(&world, Some(&known), &range(&[0], 0, 99));
    assert_eq!(reads, [between(0, 19, &[0]), between(37, 99, &[0])]);
}

fn ask() -> impl Strategy<Value = Ask> {
    let of = prop::sample::subsequence(vec![0_u16, 1, 2], 1..=3);
    let at = prop_oneof![4 => -5..105_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    (of, any::<bool>(), at.clone(), at).prop_map(|(of, is_range, a, b)| {
        if is_range { range(&of, a.min(b), a.max(b)) } else { newest(&of, a) }
    })
}

proptest! {
    #[test]
    fn whatever_is_asked_is_known_after_one_read_and_true(
        days in prop::collection::btree_set(0..100_i64, 0..60),
        asks in prop::collection::vec(ask(), 1..12),
    ) {
        let world = world(&days);
        let mut known: Option<StockDataMap> = None;
        let mut asked: Vec<Ask> = Vec::new();
        for ask in asks {
            let (map, reads) = learn(&world, known.as_ref(), &ask);
            let was_known = known.as_ref().is_some_and(|map| ask.is_known(map));
            prop_assert_eq!(was_known, known.is_some() && reads.is_empty());
            prop_assert!(ask.is_known(&map), "{:?} after {:?}", ask, reads);
            asked.push(ask);
            // What was known once stays known, and all that is known is true.
            prop_assert!(asked.iter().all(|ask| ask.is_known(&map)));
            for id in 0..3 {
                let id = IndicatorId(id);
                for (row, day) in (0..map.len()).map(|row| (row, map.report_date(row))) {
                    let truth = world.stocks["33:000001"].rows[&day].values.get(&id).copied();
                    if map.known(id).contains(day) {
                        let value = map.column(id).unwrap()[row];
                        prop_assert_eq!((!value.is_nan()).then_some(value), truth);
                    }
                }
                for interval in map.known_rows().intervals() {
                    let there: Vec<i64> =
                        days.range(interval.from()..=interval.to()).copied().collect();
                    let rows = map.rows_in(interval.from(), interval.to());
                    prop_assert_eq!(rows.map(|r| map.report_date(r)).collect::<Vec<_>>(), there);
                }
            }
            known = Some(map);
        }
    }
}
