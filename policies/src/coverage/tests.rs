use proptest::prelude::*;

use super::*;

/// The numbers a model keeps one bit each of: 0 to 63, moved to where a test wants them.
const SPAN: i64 = 64;

/// Bits `from..=to`.
fn bits(from: i64, to: i64) -> u64 {
    (0..SPAN).filter(|bit| (from..=to).contains(bit)).fold(0, |set, bit| set | 1 << bit)
}

/// Reads a set back number by number, the set's zero being at `origin`.
fn to_bits(set: &Coverage, origin: i64) -> u64 {
    (0..SPAN).filter(|bit| set.contains(origin + bit)).fold(0, |bits, bit| bits | 1 << bit)
}

fn from_bits(bits: u64, origin: i64) -> Coverage {
    let each = (0..SPAN).filter(|bit| bits >> bit & 1 == 1).map(|bit| origin + bit);
    each.filter_map(|at| Interval::new(at, at)).collect()
}

/// Intervals ascend, neither overlap nor touch, and the heap is used from two on only.
fn assert_canonical(set: &Coverage) {
    for pair in set.intervals().windows(2) {
        assert!(pair[0].to().checked_add(1).unwrap() < pair[1].from(), "{set:?}");
    }
    assert_eq!(set.heap_bytes() == 0, set.len() < 2, "{set:?}");
}

/// Both ends of `i64`, and zero in the middle.
fn origin() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MIN), Just(-SPAN / 2), Just(i64::MAX - SPAN + 1)]
}

fn range() -> impl Strategy<Value = (i64, i64)> {
    (0..SPAN, 0..12_i64).prop_map(|(from, length)| (from, (from + length).min(SPAN - 1)))
}

fn interval(from: i64, to: i64) -> Interval {
    Interval::new(from, to).unwrap()
}

#[test]
fn neighbours_merge_and_a_second_apart_they_do_not() {
    let mut set = Coverage::new();
    set.insert(1, 4);
    set.insert(5, 9);
    assert_eq!(set.intervals(), [interval(1, 9)]);
    set.insert(11, 12);
    assert_eq!(set.len(), 2);
    set.insert(10, 10);
    assert_eq!(set.intervals(), [interval(1, 12)]);
    assert_eq!(set.heap_bytes(), 0);
}

#[test]
fn the_ends_of_the_number_line_are_ordinary_numbers() {
    let mut set = Coverage::new();
    set.insert(i64::MIN, i64::MIN);
    set.insert(i64::MAX, i64::MAX);
    assert_eq!(set.len(), 2, "MAX + 1 is not MIN");
    let inner = interval(i64::MIN + 1, i64::MAX - 1);
    assert_eq!(set.missing(i64::MIN, i64::MAX).collect::<Vec<_>>(), [inner]);
    set.insert(inner.from(), inner.to());
    assert_eq!(set, Coverage::everything());
    set.remove(i64::MIN, i64::MIN);
    set.remove(i64::MAX, i64::MAX);
    assert_eq!(set.intervals(), [inner]);
    set.remove(i64::MIN, i64::MAX);
    assert!(set.is_empty());
}

#[test]
fn an_empty_range_is_covered_lacks_nothing_and_changes_nothing() {
    let mut set = Coverage::everything();
    set.remove(5, 4);
    assert_eq!(set, Coverage::everything());
    let mut set = Coverage::new();
    set.insert(5, 4);
    assert!(set.is_empty() && set.covers(5, 4));
    assert_eq!(set.missing(5, 4).next(), None);
}

#[test]
fn the_run_around_a_number_says_how_far_down_knowledge_goes() {
    let set: Coverage = [interval(10, 19), interval(30, 39)].into_iter().collect();
    assert_eq!(set.run_containing(35), Some(interval(30, 39)));
    assert_eq!(set.run_containing(10).map(Interval::from), Some(10));
    assert_eq!(set.run_containing(20), None);
}

#[test]
fn gaps_join_across_what_is_cheaper_to_read_again() {
    let gaps = [interval(0, 9), interval(15, 19), interval(30, 39)];
    assert_eq!(join_gaps(gaps, 0), gaps);
    assert_eq!(join_gaps(gaps, 4), gaps);
    assert_eq!(join_gaps(gaps, 5), [interval(0, 19), interval(30, 39)]);
    assert_eq!(join_gaps(gaps, u64::MAX), [interval(0, 39)]);
    let far = [interval(i64::MIN, i64::MIN), interval(i64::MAX, i64::MAX)];
    assert_eq!(join_gaps(far, u64::MAX - 2), far);
    assert_eq!(join_gaps(far, u64::MAX - 1), [Interval::EVERYTHING]);
}

proptest! {
    #[test]
    fn inserting_and_removing_agree_with_a_bit_set(
        origin in origin(),
        changes in prop::collection::vec((range(), prop::bool::weighted(0.7)), 0..30),
    ) {
        let (mut set, mut model) = (Coverage::new(), 0_u64);
        for ((from, to), insert) in changes {
            if insert {
                set.insert(origin + from, origin + to);
                model |= bits(from, to);
            } else {
                set.remove(origin + from, origin + to);
                model &= !bits(from, to);
            }
            assert_canonical(&set);
            prop_assert_eq!(to_bits(&set, origin), model);
        }
    }

    #[test]
    fn known_and_missing_are_what_was_asked_and_share_nothing(
        origin in origin(),
        model: u64,
        (from, to) in range(),
    ) {
        let set = from_bits(model, origin);
        let missing: Coverage = set.missing(origin + from, origin + to).collect();
        let asked = bits(from, to);
        prop_assert_eq!(to_bits(&missing, origin), asked & !model);
        prop_assert_eq!(to_bits(&missing, origin) | asked & model, asked);
        prop_assert_eq!(set.covers(origin + from, origin + to), missing.is_empty());
        prop_assert_eq!(missing.len(), set.missing(origin + from, origin + to).count(), "as few as possible");
        let mut filled = set.clone();
        filled.extend(missing.intervals().iter().copied());
        prop_assert!(filled.covers(origin + from, origin + to));
    }

    #[test]
    fn merging_is_idempotent_and_free_of_order(
        ranges in prop::collection::vec(range(), 0..20),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let intervals: Vec<_> = ranges.iter().filter_map(|(a, b)| Interval::new(*a, *b)).collect();
        let set: Coverage = intervals.iter().copied().collect();
        let mut turned = intervals.clone();
        if !turned.is_empty() {
            turned.rotate_left(shuffle.index(intervals.len()));
            turned.reverse();
        }
        prop_assert_eq!(&turned.iter().copied().collect::<Coverage>(), &set);
        prop_assert_eq!(&intervals.iter().chain(&turned).copied().collect::<Coverage>(), &set);
        prop_assert_eq!(&set.union(&set), &set);
    }

    #[test]
    fn sets_combine_like_bit_sets(origin in origin(), a: u64, b: u64) {
        let (left, right) = (from_bits(a, origin), from_bits(b, origin));
        for (set, model) in [
            (left.union(&right), a | b),
            (left.intersect(&right), a & b),
            (left.subtract(&right), a & !b),
        ] {
            assert_canonical(&set);
            prop_assert_eq!(to_bits(&set, origin), model);
            prop_assert_eq!(set, from_bits(model, origin));
        }
    }

    #[test]
    fn the_run_around_a_number_is_as_long_as_it_can_be(model: u64, at in 0..SPAN) {
        let set = from_bits(model, 0);
        let known = |at: i64| (0..SPAN).contains(&at) && model >> at & 1 == 1;
        let run = known(at).then(|| {
            let from = (0..=at).rev().take_while(|at| known(*at)).last().unwrap();
            interval(from, (at..SPAN).take_while(|at| known(*at)).last().unwrap())
        });
        prop_assert_eq!(set.run_containing(at), run);
    }

    #[test]
    fn joined_gaps_hold_all_gaps_and_only_slack_beside(model: u64, slack in 0_u64..8) {
        let set = from_bits(model, 0);
        let joined = join_gaps(set.missing(0, SPAN - 1), slack);
        let all: Coverage = joined.iter().copied().collect();
        prop_assert_eq!(to_bits(&all, 0) | model, u64::MAX);
        for run in all.intersect(&set).intervals() {
            prop_assert!(run.from().abs_diff(run.to()) < slack);
        }
        for pair in joined.windows(2) {
            prop_assert!(pair[0].to().abs_diff(pair[1].from()) > slack + 1);
        }
    }
}
