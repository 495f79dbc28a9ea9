//! Any sequence of queries, writes, evictions, time and clears, against a naive store.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    model::IndicatorId,
    query::{
        Answer, Order, Page, QueryError, SortField,
        testing::{data, names},
    },
};

#[derive(Clone, Debug)]
pub(super) enum Step {
    Snapshot(SnapshotQuery),
    Period(PeriodQuery),
    ByDate(PeriodQuery, Page),
    /// Sets values of a subject on a date, or takes the subject out of the topic `even`.
    Write(Vec<(u8, i64, Option<i8>)>),
    Membership(u8),
    Abort(u8),
    /// Word of a write so many revisions from now, or before.
    Foretell(u8, i64),
    Clear,
    Pass(u64),
}

pub(super) fn name(subject: u8) -> String {
    // Some do not exist.
    format!("33:{subject:06}")
}

pub(super) fn scope() -> impl Strategy<Value = Scope> + Clone {
    let list = prop::collection::vec(0..16_u8, 1..6)
        .prop_map(|all| all.into_iter().map(name).collect::<crate::query::SubjectList>());
    let topic = prop_oneof![Just("even".to_owned()), Just("all".to_owned()), Just("no".to_owned())];
    let keyword = prop::sample::select(vec!["", "digit 1", "ÜNI", "DIGIT", "x"]);
    prop_oneof![
        4 => list.clone().prop_map(Scope::Subjects),
        1 => topic.clone().prop_map(Scope::Topic),
        1 => (topic.clone(), list.clone()).prop_map(|(topic, list)| Scope::TopicAnd(topic, list)),
        1 => (topic, keyword, prop::option::of(list)).prop_map(|(topic, keyword, subjects)| {
            let (id, keyword) = ("concept".to_owned(), keyword.to_owned());
            Scope::Selection(Selection { id, topic, keyword, subjects })
        }),
    ]
}

pub(super) fn page() -> impl Strategy<Value = Page> {
    let field = prop_oneof![
        3 => (0..4_u16).prop_map(|id| SortField::Indicator(IndicatorId(id))),
        1 => prop::sample::select(vec![
            SortField::ReportDate, SortField::EndDate, SortField::Year, SortField::Subject,
        ]),
    ];
    let order = prop_oneof![Just(Order::Ascending), Just(Order::Descending)];
    (field, order, 0..4_usize, 1..9_usize).prop_map(|(field, order, offset, limit)| Page {
        field,
        order,
        offset,
        limit,
    })
}

pub(super) fn query() -> impl Strategy<Value = Step> {
    let of = prop::sample::select(vec![
        vec![0_u16],
        vec![1],
        vec![3],
        vec![0, 1],
        vec![2, 0],
        vec![3, 1],
        vec![1, 2, 0],
        vec![0, 3, 2],
    ]);
    let at = prop::option::of(-3..35_i64);
    let range = (-3..35_i64, 0..20_i64);
    let snapshot = (of.clone(), scope(), page(), at).prop_map(|(of, scope, page, at)| {
        Step::Snapshot(SnapshotQuery { indicators: ids(&of), scope, page, at })
    });
    let period = (of, scope(), range).prop_map(|(of, scope, (from, more))| PeriodQuery {
        indicators: ids(&of),
        scope,
        from,
        to: from + more,
    });
    prop_oneof![
        2 => snapshot,
        2 => period.clone().prop_map(Step::Period),
        1 => (period, page()).prop_map(|(period, page)| Step::ByDate(period, page)),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let change = (0..16_u8, 0..34_i64, prop::option::of(any::<i8>()));
    prop_oneof![
        12 => query(),
        3 => prop::collection::vec(change, 1..5).prop_map(Step::Write),
        1 => (0..16_u8).prop_map(Step::Membership),
        1 => (0..16_u8).prop_map(Step::Abort),
        2 => (0..16_u8, -2..4_i64).prop_map(|(subject, ahead)| Step::Foretell(subject, ahead)),
        1 => Just(Step::Clear),
        1 => (1..4000_u64).prop_map(Step::Pass),
    ]
}

/// What the naive store answers to a query.
pub(super) fn truth(world: &World, step: &Step) -> Value {
    match step {
        Step::Snapshot(query) => world.snapshot(query, &names(&query.indicators)),
        Step::Period(query) => world.period(query, &names(&query.indicators)),
        Step::ByDate(query, page) => {
            world.selection_period(query, *page, &names(&query.indicators))
        }
        _ => Value::Null,
    }
}

/// Asks the engine; `None` where the step is no query.
pub(super) async fn ask(engine: &Engine<Mock>, step: &Step) -> Option<Result<Answer, QueryError>> {
    match step {
        Step::Snapshot(query) => Some(engine.snapshot(query).await),
        Step::Period(query) => Some(engine.period(query).await),
        Step::ByDate(query, page) => Some(engine.period_by_date(query, page).await),
        _ => None,
    }
}

/// Does to the world what the step says.
pub(super) fn change(step: &Step, world: &mut World) {
    match step {
        Step::Write(changes) => {
            for (subject, date, value) in changes {
                let value = value.map(f64::from);
                world.put(&name(*subject), *date, &[(0, value), (3, value)]);
            }
        }
        Step::Membership(subject) => {
            let even = world.topics.entry("even".into()).or_default();
            if !even.remove(&name(*subject)) {
                even.insert(name(*subject));
            }
        }
        _ => {}
    }
}

pub(super) fn touched(step: &Step) -> Touched {
    let mut touched = Touched::default();
    match step {
        Step::Write(changes) => {
            touched.subjects = changes.iter().map(|(subject, ..)| name(*subject).into()).collect();
            touched.subjects.sort_unstable();
            touched.subjects.dedup();
        }
        Step::Membership(_) => touched.membership = true,
        Step::Abort(subject) => touched.subjects.push(name(*subject).into()),
        _ => {}
    }
    touched
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_what_the_store_alone_would_say(
        steps in prop::collection::vec(step(), 1..40),
        // From too little for one entry to more than enough.
        max_bytes in prop_oneof![Just(600), Just(6_000), Just(20_000), Just(1 << 24)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mock = Mock::new(super::world());
            let ttl = Duration::from_secs(3600);
            let engine = Engine::new(mock.clone(), CacheLimits { max_bytes, ttl });
            mock.observe(engine.observer());
            for step in &steps {
                match step {
                    Step::Write(_) | Step::Membership(_) => {
                        mock.write(&touched(step), |world, _| change(step, world));
                    }
                    Step::Abort(_) => {
                        let revision = mock.begin(&touched(step));
                        mock.abort(revision, &touched(step));
                    }
                    Step::Foretell(subject, ahead) => {
                        let revision = mock.confirmed().saturating_add_signed(*ahead);
                        engine.foretell(&name(*subject).into(), revision);
                    }
                    Step::Clear => engine.reset(true),
                    Step::Pass(seconds) => tokio::time::advance(Duration::from_secs(*seconds)).await,
                    query => {
                        let answer = ask(&engine, query).await.unwrap().unwrap();
                        prop_assert_eq!(data(&answer), truth(&mock.world(), query));
                        prop_assert_eq!(answer.revision, mock.confirmed());
                        let read = mock.reads().len() + mock.lists() > 0;
                        prop_assert_eq!(read, answer.cache != crate::query::CacheStatus::Hit);
                    }
                }
                let stats = engine.stats();
                prop_assert!(stats.bytes <= stats.max_bytes);
            }
            tokio::time::advance(Duration::from_secs(60)).await;
            engine.purge_foretold();
            prop_assert_eq!(engine.inner.knowledge.flights.held(), (0, 0));
            Ok(())
        })?;
    }
}
