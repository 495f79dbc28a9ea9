use std::collections::VecDeque;
use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
fn start() -> Instant {
    Instant::now()
}

fn breaker() -> Breaker {
    Breaker::new(BreakerConfig::default())
}

fn admit(breaker: &mut Breaker, now: Instant) -> Permit {
    match breaker.try_acquire(now) {
        Verdict::Admit(permit) => permit,
        Verdict::Refuse(left) => panic!("refused for {left:?}"),
    }
}

fn refusal(breaker: &mut Breaker, now: Instant) -> Option<Duration> {
    match breaker.try_acquire(now) {
        Verdict::Admit(_) => None,
        Verdict::Refuse(left) => Some(left),
    }
}

fn record(breaker: &mut Breaker, outcome: Outcome, times: u32, now: Instant) {
    for _ in 0..times {
        let permit = admit(breaker, now);
        breaker.record(permit, outcome, now);
    }
}

fn state(breaker: &mut Breaker, now: Instant) -> State {
    breaker.snapshot(now).state
}

/// A breaker that opened at `now`.
fn opened(now: Instant) -> Breaker {
    let mut breaker = breaker();
    record(&mut breaker, Outcome::Failure, 10, now);
    assert_eq!(state(&mut breaker, now), State::Open);
    breaker
}

#[test]
fn opens_at_half_of_ten_and_not_before() {
    let (mut breaker, now) = (breaker(), start());
    record(&mut breaker, Outcome::Failure, 9, now);
    assert_eq!(state(&mut breaker, now), State::Closed, "nine are too few");
    record(&mut breaker, Outcome::Failure, 1, now);
    assert_eq!(state(&mut breaker, now), State::Open);
}

#[test]
fn opens_at_exactly_half_whatever_the_order() {
    for failures_first in [true, false] {
        let (mut breaker, now) = (breaker(), start());
        let (first, second) = match failures_first {
            true => (Outcome::Failure, Outcome::Success),
            false => (Outcome::Success, Outcome::Failure),
        };
        record(&mut breaker, first, 5, now);
        record(&mut breaker, second, 5, now);
        assert_eq!(state(&mut breaker, now), State::Open, "failures first: {failures_first}");
    }
}

#[test]
fn stays_closed_below_half_and_ignores_cancelled_requests() {
    let (mut breaker, now) = (breaker(), start());
    record(&mut breaker, Outcome::Success, 51, now);
    record(&mut breaker, Outcome::Failure, 50, now);
    record(&mut breaker, Outcome::Ignored, 100, now);
    let seen = breaker.snapshot(now);
    assert_eq!((seen.state, seen.requests), (State::Closed, 101));
    assert_eq!((seen.successes, seen.failures), (51, 50));
    assert_eq!((seen.consecutive_successes, seen.consecutive_fails), (0, 50));
    assert!((seen.failure_rate - 50.0 / 101.0).abs() < 1e-12);
    assert_eq!(seen.state_changed_at, None);
}

#[test]
fn failures_older_than_the_window_are_forgotten() {
    let (mut breaker, now) = (breaker(), start());
    record(&mut breaker, Outcome::Failure, 9, now);
    record(&mut breaker, Outcome::Failure, 1, now + SECOND * 10);
    let seen = breaker.snapshot(now + SECOND * 10);
    assert_eq!((seen.state, seen.requests), (State::Closed, 1));
    let much_later = now + SECOND * 100_000;
    record(&mut breaker, Outcome::Failure, 9, much_later);
    assert_eq!(breaker.snapshot(much_later).requests, 9);
}

#[test]
fn failures_within_the_window_add_up() {
    let (mut breaker, now) = (breaker(), start());
    let step = Duration::from_millis(970);
    for failure in 0..10 {
        record(&mut breaker, Outcome::Failure, 1, now + step * failure);
    }
    assert_eq!(state(&mut breaker, now + step * 9), State::Open);
}

#[test]
fn opens_when_the_successes_leave_the_window_and_the_failures_stay() {
    let (mut breaker, now) = (breaker(), start());
    record(&mut breaker, Outcome::Success, 20, now);
    record(&mut breaker, Outcome::Failure, 12, now + SECOND * 5);
    assert_eq!(refusal(&mut breaker, now + SECOND * 9), None);
    assert!(refusal(&mut breaker, now + SECOND * 10).is_some());
}

#[test]
fn open_refuses_with_the_remaining_time_and_then_lets_ten_through() {
    let now = start();
    let mut breaker = opened(now);
    assert_eq!(refusal(&mut breaker, now), Some(SECOND * 30));
    assert_eq!(refusal(&mut breaker, now + SECOND * 29), Some(SECOND));
    let trial = now + SECOND * 30;
    let permits: Vec<_> = (0..10).map(|_| admit(&mut breaker, trial)).collect();
    assert_eq!(permits.len(), 10);
    assert_eq!(refusal(&mut breaker, trial), Some(TRIAL_RETRY_AFTER));
    let seen = breaker.snapshot(trial);
    assert_eq!((seen.state, seen.requests), (State::HalfOpen, 0));
    assert_eq!(seen.state_changed_at, Some(trial));
}

#[test]
fn five_successes_in_a_row_close_it_with_an_empty_window() {
    let now = start();
    let mut breaker = opened(now);
    let trial = now + SECOND * 30;
    record(&mut breaker, Outcome::Success, 4, trial);
    assert_eq!(breaker.snapshot(trial).consecutive_successes, 4);
    assert_eq!(state(&mut breaker, trial), State::HalfOpen);
    record(&mut breaker, Outcome::Success, 1, trial);
    let seen = breaker.snapshot(trial);
    assert_eq!((seen.state, seen.requests), (State::Closed, 0));
    record(&mut breaker, Outcome::Failure, 9, trial);
    assert_eq!(state(&mut breaker, trial), State::Closed);
}

#[test]
fn one_failure_on_trial_opens_it_for_the_whole_time_again() {
    let now = start();
    let mut breaker = opened(now);
    let trial = now + SECOND * 31;
    record(&mut breaker, Outcome::Success, 4, trial);
    record(&mut breaker, Outcome::Failure, 1, trial);
    assert_eq!(refusal(&mut breaker, trial), Some(SECOND * 30));
    assert_eq!(breaker.snapshot(trial).requests, 5);
}

#[test]
fn a_trial_in_which_all_were_cancelled_goes_on() {
    let now = start();
    let mut breaker = opened(now);
    let trial = now + SECOND * 30;
    for _ in 0..3 {
        let permits: Vec<_> = (0..10).map(|_| admit(&mut breaker, trial)).collect();
        assert!(refusal(&mut breaker, trial).is_some());
        for permit in permits {
            breaker.record(permit, Outcome::Ignored, trial);
        }
    }
    record(&mut breaker, Outcome::Success, 5, trial);
    assert_eq!(state(&mut breaker, trial), State::Closed);
}

#[test]
fn permits_of_an_earlier_stay_change_nothing_later() {
    let now = start();
    let mut breaker = breaker();
    let mut old: Vec<_> = (0..30).map(|_| admit(&mut breaker, now)).collect();
    record(&mut breaker, Outcome::Failure, 10, now);
    let trial = now + SECOND * 30;
    let probes: Vec<_> = (0..10).map(|_| admit(&mut breaker, trial)).collect();
    for outcome in [Outcome::Failure, Outcome::Success, Outcome::Ignored] {
        for permit in old.drain(..10) {
            breaker.record(permit, outcome, trial);
        }
        assert_eq!(state(&mut breaker, trial), State::HalfOpen, "after old {outcome:?}");
        assert!(refusal(&mut breaker, trial).is_some(), "an old {outcome:?} freed a place");
    }
    for permit in probes {
        breaker.record(permit, Outcome::Success, trial);
    }
    let seen = breaker.snapshot(trial);
    assert_eq!((seen.state, seen.requests), (State::Closed, 0), "late probes don't count either");
}

#[test]
fn a_clock_that_steps_back_neither_prolongs_the_opening_nor_panics() {
    let now = start() + SECOND * 100;
    let mut breaker = opened(now);
    assert_eq!(refusal(&mut breaker, now - SECOND * 50), Some(SECOND * 30));
    assert_eq!(refusal(&mut breaker, now + SECOND * 30), None);
    assert_eq!(refusal(&mut breaker, now), None, "half-open stays half-open");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let with = |change: fn(&mut BreakerSettings)| {
        let mut settings = BreakerSettings::default();
        change(&mut settings);
        BreakerConfig::new(settings).unwrap_err().to_string()
    };
    assert_eq!(with(|s| s.window = SECOND / 100), "window is 10ms, expected 100 ms to 1 h");
    assert!(with(|s| s.min_requests = 0).starts_with("min_requests is 0"));
    assert!(with(|s| s.failure_percent = 101).starts_with("failure_percent is 101"));
    assert!(with(|s| s.open_for = Duration::MAX).starts_with("open_for is"));
    assert!(with(|s| s.close_after = 11).contains("half_open_requests 10"));
    assert!(with(|s| s.half_open_requests = 0).contains("close_after is 5"));
}

#[test]
fn a_trial_across_threads_lets_ten_through_and_no_more() {
    let now = start();
    for _ in 0..20 {
        let breaker = parking_lot::Mutex::new(opened(now));
        let barrier = Barrier::new(8);
        let admitted: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let take = || breaker.lock().try_acquire(now + SECOND * 30);
                        (0..100).filter(|_| matches!(take(), Verdict::Admit(_))).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 10);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(Duration),
    Back(Duration),
    Try,
    /// Answers the oldest or the newest request in flight.
    Answer(Outcome, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Failure),
        3 => Just(Outcome::Success),
        1 => Just(Outcome::Ignored),
    ];
    let step = prop_oneof![
        2 => (0_u64..12_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
        1 => (0_u64..40_000).prop_map(|ms| Step::Back(Duration::from_millis(ms))),
        12 => Just(Step::Try),
        12 => (outcome, any::<bool>()).prop_map(|(outcome, oldest)| Step::Answer(outcome, oldest)),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// Whatever happens in whatever order: no admission while open, at most ten unanswered or
    /// successful probes on trial, no opening on fewer than ten outcomes or without a failure.
    #[test]
    fn never_lets_more_through_than_its_state_allows(steps in steps()) {
        let (mut breaker, start) = (breaker(), start() + SECOND * 100);
        let (mut now, mut in_flight) = (start, VecDeque::new());
        for step in steps {
            let told = match step {
                Step::Wait(time) => { now += time; now }
                Step::Back(time) => now.checked_sub(time).unwrap_or(now),
                Step::Try | Step::Answer(..) => now,
            };
            let before = breaker.snapshot(told);
            match step {
                Step::Try => match breaker.try_acquire(told) {
                    Verdict::Admit(permit) => {
                        prop_assert!(before.state != State::Open);
                        in_flight.push_back(permit);
                    }
                    Verdict::Refuse(left) => {
                        prop_assert!(before.state != State::Closed);
                        prop_assert!(!left.is_zero() && left <= SECOND * 30);
                    }
                },
                Step::Answer(outcome, oldest) => {
                    let permit = if oldest { in_flight.pop_front() } else { in_flight.pop_back() };
                    if let Some(permit) = permit {
                        breaker.record(permit, outcome, told);
                    }
                }
                Step::Wait(_) | Step::Back(_) => {}
            }
            let after = breaker.snapshot(told);
            if after.state == State::HalfOpen {
                let probes = in_flight.iter().filter(|permit| permit.stay == breaker.stay).count();
                prop_assert!(probes + after.successes as usize <= 10);
                prop_assert_eq!(after.failures, 0);
                prop_assert!(after.successes < 5);
            }
            match (before.state, after.state) {
                (State::Closed, State::Open) => {
                    prop_assert!(after.requests >= 10 && after.failures * 2 >= after.requests);
                }
                (State::HalfOpen, State::Open) => prop_assert_eq!(after.failures, 1),
                (State::HalfOpen, State::Closed) => prop_assert_eq!(before.successes, 4),
                (State::Closed, State::HalfOpen) | (State::Open, State::Closed) => {
                    prop_assert!(false, "{:?} -> {:?}", before.state, after.state);
                }
                _ => {}
            }
        }
    }

    /// The window against a list of every outcome with its time.
    #[test]
    fn the_window_holds_what_its_length_says_to_a_fortieth(
        gaps in prop::collection::vec((0_u64..2_000, any::<bool>()), 0..80),
    ) {
        // So that it never opens and the window is all there is to see.
        let settings = BreakerSettings { min_requests: u32::MAX, ..BreakerSettings::default() };
        let mut breaker = Breaker::new(BreakerConfig::new(settings).unwrap());
        let (mut now, mut outcomes) = (start(), Vec::new());
        for (gap, failed) in gaps {
            now += Duration::from_millis(gap);
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            record(&mut breaker, outcome, 1, now);
            outcomes.push((now, failed));
            let seen = breaker.snapshot(now);
            let younger = |age: Duration| {
                let within = outcomes.iter().filter(|(at, _)| now - *at < age);
                u32::try_from(within.count()).unwrap()
            };
            prop_assert!(seen.requests <= younger(SECOND * 10));
            prop_assert!(seen.requests >= younger(SECOND * 10 - SECOND / 4));
            prop_assert_eq!(seen.successes + seen.failures, seen.requests);
        }
    }
}
