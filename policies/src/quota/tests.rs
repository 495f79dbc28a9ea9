use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A fixed point in time to count from: these tests are about differences.
#[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn quota(rate: u32, burst: u32) -> Quota {
    Quota::new(rate, burst).unwrap()
}

fn room(keys: usize) -> NonZeroUsize {
    NonZeroUsize::new(keys).unwrap()
}

/// How many of `tries` calls at one time pass.
fn admitted(bucket: &Bucket, tries: u32, now: Instant) -> u32 {
    (0..tries).map(|_| u32::from(bucket.take(now) == Verdict::Admit)).sum()
}

#[test]
fn a_quota_needs_a_rate_it_can_keep_and_a_burst() {
    assert_eq!(Quota::new(0, 1), Err(InvalidQuota::Rate(0)));
    assert_eq!(Quota::new(1_000_001, 0), Err(InvalidQuota::Rate(1_000_001)));
    assert_eq!(Quota::new(1, 0), Err(InvalidQuota::Burst));
    assert!(Quota::new(Quota::MAX_RATE, u32::MAX).is_ok());
}

#[test]
fn the_burst_passes_at_once_from_rest_and_then_the_rate() {
    for (rate, burst) in [(300, 500), (500, 800), (10_000, 15_000), (1_000, 1_500), (7, 1)] {
        let (bucket, now) = (Bucket::new(quota(rate, burst)), start());
        assert_eq!(admitted(&bucket, burst + 10, now), burst);
        // Intervals are whole nanoseconds, rounded up: a second may fall short by one token.
        let (later, filled) = (admitted(&bucket, rate + 10, now + SECOND), rate.min(burst));
        assert!((filled - 1..=filled).contains(&later), "{rate}/s admitted {later}");
        let rest = now + SECOND * 1_000;
        assert_eq!(admitted(&bucket, burst + 10, rest), burst, "a long rest fills one burst only");
    }
}

#[test]
fn no_rate_is_exceeded_where_the_nanosecond_is_coarse() {
    let (rate, burst) = (600_000, 700_000);
    let (bucket, now) = (Bucket::new(quota(rate, burst)), start());
    assert_eq!(admitted(&bucket, burst + 1, now), burst);
    let later = admitted(&bucket, burst, now + SECOND);
    assert!(later <= rate && later >= rate - rate / 1_000, "{later}");
}

#[test]
fn a_refusal_tells_the_time_to_the_next_token() {
    let (bucket, now) = (Bucket::new(quota(4, 2)), start());
    assert_eq!(admitted(&bucket, 2, now), 2);
    let Verdict::Refuse(wait) = bucket.take(now + SECOND / 10) else { panic!("admitted") };
    assert_eq!(wait, Duration::from_millis(150));
    let almost = now + SECOND / 10 + wait - Duration::from_nanos(1);
    assert_eq!(bucket.take(almost), Verdict::Refuse(Duration::from_nanos(1)));
    assert_eq!(bucket.take(now + SECOND / 10 + wait), Verdict::Admit);
}

#[test]
fn a_clock_that_steps_back_neither_mints_tokens_nor_freezes_the_bucket() {
    let (bucket, now) = (Bucket::new(quota(10, 5)), start());
    assert_eq!(admitted(&bucket, 9, now), 5);
    assert_eq!(admitted(&bucket, 9, now + SECOND * 60), 5);
    assert_eq!(admitted(&bucket, 9, now), 0, "the past has no tokens");
    assert_eq!(bucket.take(now), Verdict::Refuse(SECOND / 10), "counted from the latest time");
    assert_eq!(admitted(&bucket, 9, now + SECOND * 61), 5);
}

#[test]
fn times_a_century_apart_do_not_overflow() {
    let (bucket, now) = (Bucket::new(quota(1, u32::MAX)), start());
    assert_eq!(bucket.take(now), Verdict::Admit);
    for years in [100_u64, 300, 500] {
        assert_eq!(bucket.take(now + Duration::from_secs(31_536_000 * years)), Verdict::Admit);
    }
}

#[test]
fn threads_together_get_no_more_than_one_would() {
    let (bucket, now, passed) = (Bucket::new(quota(1_000, 700)), start(), AtomicU32::new(0));
    thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (bucket, passed) = (&bucket, &passed);
            scope.spawn(move || {
                for step in 0..5_000_u32 {
                    // Each thread's clock runs from 0 to 500 ms, each a little off.
                    let at = now + Duration::from_micros(u64::from(step * 100 + thread * 7));
                    if bucket.take(at) == Verdict::Admit {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // 700 at once and one a millisecond for 500 ms.
    let passed = passed.into_inner();
    assert!((1_190..=1_200).contains(&passed), "{passed}");
}

#[test]
fn keys_do_not_take_from_each_other() {
    let (buckets, now) = (KeyedBuckets::new(quota(1, 2), room(10)), start());
    for key in ["a", "b"] {
        assert_eq!(buckets.take(&key, now), Verdict::Admit);
        assert_eq!(buckets.take(&key, now), Verdict::Admit);
        assert_eq!(buckets.take(&key, now), Verdict::Refuse(SECOND));
    }
    assert_eq!(buckets.len(), 2);
}

#[test]
fn a_flood_of_keys_shares_a_few_buckets_and_leaves_known_keys_theirs() {
    let (buckets, now) = (KeyedBuckets::new(quota(1, 2), room(100)), start());
    assert_eq!(buckets.take(&u32::MAX, now), Verdict::Admit);
    let flood = (0..100_000_u32).filter(|key| buckets.take(key, now) == Verdict::Admit).count();
    assert_eq!(buckets.len(), 100);
    assert!((99..=99 + 64 * 2).contains(&flood), "{flood}");
    assert_eq!(buckets.take(&u32::MAX, now), Verdict::Admit, "a known key keeps its own");
}

#[test]
fn sweeping_forgets_full_buckets_and_makes_room() {
    let (buckets, now) = (KeyedBuckets::new(quota(1, 10), room(100)), start());
    for key in 0..100 {
        assert_eq!(buckets.take(&key, now), Verdict::Admit);
    }
    for _ in 0..9 {
        assert_eq!(buckets.take(&7, now), Verdict::Admit);
    }
    buckets.sweep(now + SECOND * 3);
    assert_eq!(buckets.len(), 1, "only 7 is still in debt");
    let left = (0..20).filter(|_| buckets.take(&7, now + SECOND * 3) == Verdict::Admit).count();
    assert_eq!(left, 3, "and stays so");
    assert_eq!(buckets.take(&1_000, now + SECOND * 3), Verdict::Admit);
    assert_eq!(buckets.len(), 2);
    buckets.sweep(now + SECOND * 60);
    assert!(buckets.is_empty());
}

#[test]
fn the_number_of_keys_stays_bounded_while_threads_add_and_sweep() {
    let (buckets, now) = (KeyedBuckets::new(quota(1_000, 1), room(50)), start());
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let buckets = &buckets;
            scope.spawn(move || {
                for step in 0..3_000_u32 {
                    let at = now + Duration::from_millis(u64::from(step));
                    let _ = buckets.take(&(step.wrapping_mul(2_654_435_761) ^ (thread % 2)), at);
                    assert!(buckets.len() <= 50);
                    if step % 50 == 0 {
                        buckets.sweep(at);
                    }
                }
            });
        }
    });
    buckets.sweep(now + SECOND * 60);
    assert_eq!(buckets.len(), 0, "places are counted exactly once");
    let fresh: HashSet<_> =
        (0..50).filter(|key| buckets.take(key, now) == Verdict::Admit).collect();
    assert_eq!((fresh.len(), buckets.len()), (50, 50));
}

/// A key that, while it is cloned for the map, lets another caller in with the same key: the race
/// of two callers at a new key, without a race.
#[derive(PartialEq, Eq, Hash)]
struct Overtaken;

static BUCKETS: OnceLock<(KeyedBuckets<Overtaken>, Instant)> = OnceLock::new();
static CLONES: AtomicU32 = AtomicU32::new(0);

impl Clone for Overtaken {
    fn clone(&self) -> Self {
        let (buckets, now) = BUCKETS.get().unwrap();
        if CLONES.fetch_add(1, Ordering::Relaxed) == 0 {
            assert_eq!(buckets.take(&Self, *now), Verdict::Admit);
        }
        Self
    }
}

#[test]
fn callers_that_meet_at_a_new_key_take_one_place_for_it() {
    let (buckets, now) =
        BUCKETS.get_or_init(|| (KeyedBuckets::new(quota(1, 2), room(10)), start()));
    assert_eq!(buckets.take(&Overtaken, *now), Verdict::Admit);
    assert_eq!(CLONES.load(Ordering::Relaxed), 2, "both found the key unknown");
    assert_eq!(buckets.len(), 1);
    assert_eq!(buckets.take(&Overtaken, *now), Verdict::Refuse(SECOND), "of one bucket");
}

proptest! {
    #[test]
    fn never_more_than_the_burst_and_the_rate_over_any_stretch(
        rate in 1_u32..5_000,
        burst in 1_u32..50,
        steps in prop::collection::vec(0_u64..200_000_000, 1..300),
    ) {
        let (bucket, start) = (Bucket::new(quota(rate, burst)), start());
        let mut now = start;
        let mut passed = Vec::new();
        for step in steps {
            now += Duration::from_nanos(step);
            // A step back now and then.
            let told = if step % 7 == 0 { now - Duration::from_nanos(step) } else { now };
            if bucket.take(told) == Verdict::Admit {
                passed.push(now);
            }
        }
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                // Admissions told of a past up to 200 ms back: allow that much more time.
                let stretch = (*to - *from).as_secs_f64() + 0.2;
                let most = f64::from(burst) + f64::from(rate) * stretch;
                prop_assert!((last - first + 1) as f64 <= most + 1e-6);
            }
        }
    }
}
