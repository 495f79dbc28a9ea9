//! Many at once. Every answer must be what the store said at one revision, not older than what
//! anyone had seen when the query began.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use proptest::prelude::*;
use tokio::task::{JoinSet, yield_now};

use super::{
    model::{Step, ask, change, query, touched, truth},
    *,
};
use crate::{
    model::Revision,
    query::{CacheStatus, Order, Page, testing::data},
};

/// Watches that nobody is shown anything older than what someone has seen.
#[derive(Clone)]
struct Witness {
    mock: Mock,
    engine: Engine<Mock>,
    /// The newest revision that an answer is known to have shown.
    seen: Arc<AtomicU64>,
}

impl Witness {
    fn new(max_bytes: usize) -> Self {
        let mock = Mock::new(super::world());
        let limits = CacheLimits { max_bytes, ..CacheLimits::default() };
        let engine = Engine::new(mock.clone(), limits);
        mock.observe(engine.observer());
        Self { mock, engine, seen: Arc::default() }
    }

    async fn query(&self, step: &Step) {
        let least = self.seen.load(SeqCst).max(self.mock.confirmed());
        let answer = ask(&self.engine, step).await.unwrap().unwrap();
        let got = data(&answer);
        let fits = |world: &Arc<World>| truth(world, step) == got;
        let shown: Option<Revision> =
            self.mock.since(least).iter().find(|world| fits(world)).map(|world| world.revision);
        let Some(shown) = shown else {
            let then: Vec<_> =
                self.mock.since(0).iter().filter(|w| fits(w)).map(|w| w.revision).collect();
            panic!(
                "{step:?}\nshould be of {least} or later, is of {then:?} ({:?}): {got}\n{}",
                answer.cache,
                truth(&self.mock.world(), step)
            );
        };
        assert!(answer.revision >= self.mock.world().revision.min(least));
        self.seen.fetch_max(shown, SeqCst);
    }

    /// A write with room for others between its steps.
    async fn write(&self, step: &Step) {
        if let Step::Foretell(subject, ahead) = step {
            let revision = self.mock.confirmed().saturating_add_signed(*ahead);
            self.engine.foretell(&super::model::name(*subject).into(), revision);
            return;
        }
        let touched = touched(step);
        let revision = self.mock.begin(&touched);
        yield_now().await;
        if let Step::Abort(_) = step {
            return self.mock.abort(revision, &touched);
        }
        self.mock.commit(|world, _| change(step, world));
        yield_now().await;
        self.mock.end(revision, &touched);
    }
}

fn write() -> impl Strategy<Value = Step> {
    let change = (0..6_u8, 25..34_i64, prop::option::of(any::<i8>()));
    prop_oneof![
        6 => prop::collection::vec(change, 1..5).prop_map(Step::Write),
        1 => (0..16_u8).prop_map(Step::Membership),
        1 => (0..6_u8).prop_map(Step::Abort),
        3 => foretold(),
    ]
}

/// Word of a write that has come, is about to come, or never comes.
fn foretold() -> impl Strategy<Value = Step> {
    (0..6_u8, -2..4_i64).prop_map(|(subject, ahead)| Step::Foretell(subject, ahead))
}

type Plan = (Vec<Vec<Step>>, Vec<Step>);

/// Queries of all kinds, and writes here and there.
fn wide() -> BoxedStrategy<Plan> {
    let readers = prop::collection::vec(prop::collection::vec(query(), 1..8), 1..8);
    (readers, prop::collection::vec(write(), 0..12)).boxed()
}

/// Three subjects that are always asked for and written together, so that any mixture shows.
fn narrow() -> BoxedStrategy<Plan> {
    let scope = prop::sample::subsequence(vec![1, 2, 3], 1..=3);
    let query = (scope, 0..4_u16).prop_map(|(of, id)| {
        let scope = Scope::Subjects(of.into_iter().map(super::model::name).collect());
        Step::Snapshot(snapshot(scope, if id == 0 { &[0] } else { &[0, 3] }))
    });
    let write = any::<i8>()
        .prop_map(|value| Step::Write((1..4).map(|subject| (subject, 40, Some(value))).collect()));
    let readers = prop::collection::vec(prop::collection::vec(query, 1..12), 1..6);
    let write = prop_oneof![3 => write, 2 => foretold()];
    (readers, prop::collection::vec(write, 0..20)).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// One thread, so that a seed tells the whole story.
    #[test]
    fn no_interleaving_shows_the_old_or_a_mixture(
        (readers, writes) in prop_oneof![wide(), narrow()],
        seed in any::<u64>(),
        max_bytes in prop_oneof![Just(6_000), Just(1 << 24)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let witness = Witness::new(max_bytes);
            witness.mock.delay(seed);
            let mut tasks = JoinSet::new();
            for queries in readers {
                let witness = witness.clone();
                tasks.spawn(async move {
                    for query in &queries {
                        witness.query(query).await;
                    }
                });
            }
            let writer = witness.clone();
            tasks.spawn(async move {
                for (at, step) in writes.iter().enumerate() {
                    writer.write(step).await;
                    if at % 5 == 4 {
                        writer.engine.reset(true);
                    }
                    yield_now().await;
                }
            });
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            let knowledge = &witness.engine.inner.knowledge;
            let later = tokio::time::Instant::now().into_std() + std::time::Duration::from_secs(60);
            knowledge.purge_foretold(later);
            assert_eq!((knowledge.flights.held(), knowledge.members.held()), ((0, 0), (0, 0)));
        });
    }
}

/// Plain numbers from a seed.
fn numbers(seed: u64) -> impl FnMut(u8) -> u8 {
    let mut state = seed;
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((state >> 33) % u64::from(below)).unwrap()
    }
}

fn some_query(number: &mut impl FnMut(u8) -> u8) -> Step {
    let scope = match number(10) {
        0 => Scope::Topic("even".into()),
        1 => Scope::Selection(selection("digit")),
        _ => {
            let count = number(4) + 1;
            Scope::Subjects((0..count).map(|_| format!("33:{:06}", number(14))).collect())
        }
    };
    if number(2) == 0 {
        Step::Snapshot(snapshot(scope, &[0, 3]))
    } else {
        Step::Period(period(scope, &[0, 1], 20, 33))
    }
}

#[test]
fn two_thousand_at_once_with_writes_and_clears_between_and_no_wrong_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let witness = Witness::new(60_000);
        let mut tasks = JoinSet::new();
        for task in 0..2000_u64 {
            let witness = witness.clone();
            tasks.spawn(async move {
                let mut number = numbers(task);
                for _ in 0..3 {
                    witness.query(&some_query(&mut number)).await;
                }
            });
        }
        let writer = witness.clone();
        tasks.spawn(async move {
            let mut number = numbers(99_999);
            for turn in 0..150 {
                let rows = (0..3).map(|_| {
                    let (subject, date, value) = (number(12), number(8), number(100));
                    (subject, 26 + i64::from(date), i8::try_from(value).ok())
                });
                writer.write(&Step::Write(rows.collect())).await;
                if turn % 20 == 0 {
                    writer.engine.reset(true);
                }
                tokio::time::sleep(std::time::Duration::from_micros(200)).await;
            }
        });
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let stats = witness.engine.stats();
        assert!(stats.bytes <= stats.max_bytes);
        let knowledge = &witness.engine.inner.knowledge;
        assert_eq!((knowledge.flights.held(), knowledge.members.held()), ((0, 0), (0, 0)));
        // And still alive.
        let last = snapshot(subjects(&["33:000001"]), &[0]);
        witness.query(&Step::Snapshot(last.clone())).await;
        assert_eq!(witness.engine.snapshot(&last).await.unwrap().cache, CacheStatus::Hit);
    });
}

/// One thread looks through many cached subjects while another rewrites the first and the last of
/// them together and reads them back into the cache.
#[test]
fn a_long_look_through_the_cache_does_not_mix_what_was_written_meanwhile() {
    let mut world = World::default();
    for i in 0..500 {
        world.put(&format!("44:{i:04}"), 1, &[(0, Some(0.0))]);
    }
    let mock = Mock::new(world);
    let engine = engine(&mock);
    let ends = ["44:0000", "44:0499"];
    let mut all = snapshot(Scope::Subjects((0..500).map(|i| format!("44:{i:04}")).collect()), &[0]);
    // The two that were written, which are the largest.
    let field = crate::query::SortField::Indicator(crate::model::IndicatorId(0));
    all.page = Page { field, order: Order::Descending, offset: 0, limit: 2 };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let runtime = runtime();
            for turn in 1..600 {
                mock.write(&touching(&ends), |world, _| {
                    for subject in ends {
                        world.put(subject, 1, &[(0, Some(f64::from(turn)))]);
                    }
                });
                runtime.block_on(engine.snapshot(&snapshot(subjects(&ends), &[0]))).unwrap();
            }
        });
        let runtime = runtime();
        while !writer.is_finished() {
            let answer = runtime.block_on(engine.snapshot(&all)).unwrap();
            let rows = data(&answer);
            assert_eq!(rows[0]["data"], rows[1]["data"], "{:?}", answer.cache);
        }
    });
}
