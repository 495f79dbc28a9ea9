//! What is read, what is not, and how it is counted.

use super::*;
use crate::{
    model::IndicatorId,
    query::{
        CacheStatus, Order, Page, QueryError, SortField,
        testing::{data, names},
    },
    store::{Rows, StoreError},
};

const A: &str = "33:000001";
const B: &str = "33:000002";

#[tokio::test]
async fn answers_inside_what_is_known_without_reading() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let first = engine.period(&period(subjects(&[A]), &[0, 1], 5, 20)).await.unwrap();
    assert_eq!(first.cache, CacheStatus::Miss);
    assert_eq!(mock.reads().len(), 1);
    for query in [period(subjects(&[A]), &[1], 5, 20), period(subjects(&[A]), &[1, 0], 7, 9)] {
        let answer = engine.period(&query).await.unwrap();
        assert_eq!(answer.cache, CacheStatus::Hit);
        assert_eq!(data(&answer), mock.world().period(&query, &names(&query.indicators)));
    }
    let at = SnapshotQuery { at: Some(20), ..snapshot(subjects(&[A]), &[0]) };
    assert_eq!(engine.snapshot(&at).await.unwrap().cache, CacheStatus::Hit);
    assert!(mock.reads().is_empty());

    let wider = engine.period(&period(subjects(&[A]), &[0, 1, 2], 5, 20)).await.unwrap();
    assert_eq!(wider.cache, CacheStatus::Partial);
    let reads = mock.reads();
    assert_eq!(*reads[0][0].indicators, [IndicatorId(2)]);
    let stats = engine.stats();
    assert_eq!((stats.hits, stats.misses, stats.partial_hits), (3, 2, 1));
    assert_eq!((stats.subject_hits, stats.subject_misses, stats.hit_rate), (3, 2, 60.0));
    assert_eq!(stats.entries, 1);
    assert!(stats.bytes > 0 && stats.max_bytes == 256 << 20);
}

#[tokio::test]
async fn all_that_a_request_lacks_is_one_read() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    mock.reads();
    let answer = engine.snapshot(&snapshot(Scope::Topic("all".into()), &[0])).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Partial);
    let reads = mock.reads();
    assert_eq!((reads.len(), reads[0].len(), mock.lists()), (1, 11, 1));
    // By topic, by list within the topic, by tag: the same knowledge.
    let both = Scope::TopicAnd("all".into(), [B, "33:x", A].into_iter().collect());
    let again = engine.snapshot(&snapshot(both, &[0])).await.unwrap();
    assert_eq!(again.cache, CacheStatus::Hit);
    engine.snapshot(&snapshot(Scope::Selection(selection("DIGIT")), &[0])).await.unwrap();
    engine.snapshot(&snapshot(Scope::Selection(selection("digit")), &[0])).await.unwrap();
    assert_eq!((mock.reads().len(), mock.lists()), (0, 1));
    let stats = engine.stats();
    assert_eq!((stats.hits, stats.misses, stats.partial_hits), (2, 3, 2));
}

#[tokio::test]
async fn the_sort_field_is_needed_too() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    engine.snapshot(&snapshot(subjects(&[A, B]), &[0])).await.unwrap();
    mock.reads();
    let page = Page {
        field: SortField::Indicator(IndicatorId(2)),
        order: Order::Descending,
        ..by_subject()
    };
    let query = SnapshotQuery { page, ..snapshot(subjects(&[A, B]), &[0]) };
    let answer = engine.snapshot(&query).await.unwrap();
    assert_eq!(data(&answer), mock.world().snapshot(&query, &names(&query.indicators)));
    let reads = mock.reads();
    assert!(reads[0].iter().all(|need| *need.indicators == [IndicatorId(2)]));
    assert!(reads[0].iter().all(|need| matches!(need.rows, Rows::Newest { not_before: 29, .. })));
}

#[tokio::test]
async fn what_does_not_exist_is_asked_for_once() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    for _ in 0..3 {
        let scope = subjects(&["33:no", "such"]);
        let answer = engine.snapshot(&snapshot(scope, &[0])).await.unwrap();
        assert_eq!(&*answer.body, br#"{"status_code":0,"status_msg":"success","data":[]}"#);
        let topic = Scope::Topic("none".into());
        assert_eq!(data(&engine.snapshot(&snapshot(topic, &[0])).await.unwrap()).to_string(), "[]");
    }
    assert_eq!((mock.reads().len(), mock.lists()), (1, 1));
    // Names that do not exist drive out nothing that does.
    engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    for i in 0..2000 {
        let scope: Vec<String> = (0..10).map(|j| format!("no:{i}:{j}:{:0200}", 0)).collect();
        let scope = Scope::Subjects(scope.iter().collect());
        engine.snapshot(&snapshot(scope, &[0])).await.unwrap();
    }
    mock.reads();
    engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    assert!(mock.reads().is_empty());
    let stats = engine.stats();
    assert!(stats.bytes <= stats.max_bytes && stats.evictions > 0, "{stats:?}");
}

#[tokio::test]
async fn reset_zeroes_and_clear_forgets() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let query = snapshot(subjects(&[A]), &[0]);
    engine.snapshot(&query).await.unwrap();
    engine.reset(false);
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Hit);
    engine.reset(true);
    let empty = engine.stats();
    assert_eq!((empty.entries, empty.bytes, empty.hits, empty.misses), (0, 0, 0, 0));
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Miss);
}

#[tokio::test(start_paused = true)]
async fn forgets_in_time_even_what_keeps_growing() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let half = std::time::Duration::from_secs(1801);
    engine.period(&period(subjects(&[A]), &[0], 0, 9)).await.unwrap();
    tokio::time::advance(half).await;
    engine.period(&period(subjects(&[A]), &[0], 0, 19)).await.unwrap();
    tokio::time::advance(half).await;
    let answer = engine.period(&period(subjects(&[A]), &[0], 0, 9)).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Miss, "growing must not keep old knowledge alive");
    assert_eq!(engine.stats().expired, 1);
    tokio::time::advance(half * 2).await;
    engine.purge_expired();
    let stats = engine.stats();
    assert_eq!((stats.entries, stats.bytes, stats.expired), (0, 0, 2));
}

#[tokio::test]
async fn a_failed_or_panicked_read_is_everyones_error_and_nobodys_lock() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let topic = snapshot(Scope::Topic("all".into()), &[0]);
    let listed = snapshot(subjects(&[A, B]), &[0]);
    for trouble in [Mock::fail, Mock::panic] {
        trouble(&mock, true);
        let (one, two, three) = tokio::join!(
            engine.snapshot(&listed),
            engine.snapshot(&listed),
            engine.snapshot(&topic)
        );
        assert!(one.is_err() && two.is_err() && three.is_err());
        trouble(&mock, false);
        assert_eq!(engine.inner.knowledge.flights.held(), (0, 0));
        assert_eq!(engine.inner.knowledge.members.held(), (0, 0));
    }
    let answer = engine.snapshot(&listed).await.unwrap();
    assert_eq!(data(&answer), mock.world().snapshot(&listed, &names(&listed.indicators)));
}

#[tokio::test]
async fn a_large_answer_is_written_elsewhere_and_is_the_same() {
    let mut world = World::default();
    for i in 0..600 {
        for date in 0..30 {
            world.put(&format!("44:{i:04}"), date, &[(0, Some(f64::from(i))), (1, None)]);
        }
        world.topics.entry("all".into()).or_default().insert(format!("44:{i:04}"));
    }
    let mock = Mock::new(world);
    let engine = engine(&mock);
    let query = period(Scope::Topic("all".into()), &[0, 1], 0, 29);
    for status in [CacheStatus::Miss, CacheStatus::Hit] {
        let answer = engine.period(&query).await.unwrap();
        assert_eq!(answer.cache, status);
        assert!(data(&answer) == mock.world().period(&query, &names(&query.indicators)));
        let by_date = engine.period_by_date(&query, &by_subject()).await.unwrap();
        let truth = mock.world().selection_period(&query, by_subject(), &names(&query.indicators));
        assert!(data(&by_date) == truth);
    }
}

#[tokio::test]
async fn a_read_for_others_that_was_too_large_is_not_the_end_of_a_smaller_one() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    mock.limit(20);
    let gate = mock.gate();
    let large = period(subjects(&[A]), &[0], 0, 29);
    let small = period(subjects(&[A]), &[0], 10, 19);
    let together = async { tokio::join!(engine.period(&large), engine.period(&small)) };
    let ((large, answer), ()) = tokio::join!(together, async {
        while mock.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        gate.open();
    });
    let refused = |error: QueryError| {
        matches!(error, QueryError::Storage(StoreError::TooManyRows { limit: 20 }))
    };
    assert!(large.is_err_and(refused));
    assert_eq!(data(&answer.unwrap()), mock.world().period(&small, &names(&small.indicators)));
}
