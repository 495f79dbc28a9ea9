//! Reads and writes that meet, one step at a time.

use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::cache::Heard;
use crate::query::{
    Answer, CacheStatus, QueryError,
    testing::{data, names},
};

const A: &str = "33:000003";
const B: &str = "33:000002";

/// Starts a query and lets it come as far as it can.
async fn start(
    engine: &Engine<Mock>,
    query: SnapshotQuery,
) -> JoinHandle<Result<Answer, QueryError>> {
    let engine = engine.clone();
    let handle = tokio::spawn(async move { engine.snapshot(&query).await });
    settle().await;
    handle
}

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn value(answer: &Value, row: usize) -> f64 {
    answer[row]["data"]["i0"].as_f64().unwrap()
}

#[tokio::test]
async fn concurrent_misses_of_the_same_make_one_read() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let gate = mock.gate();
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(start(&engine, snapshot(subjects(&[A, B]), &[0, 1])).await);
        // Less than what is being read is part of it.
        waiting.push(start(&engine, snapshot(subjects(&[B]), &[1])).await);
        waiting.push(start(&engine, snapshot(Scope::Topic("even".into()), &[0])).await);
    }
    gate.open();
    for one in waiting {
        assert_ne!(one.await.unwrap().unwrap().cache, CacheStatus::Hit);
    }
    // The first reads A and B; the topic reads its list and then what else is in it.
    assert_eq!((mock.reads().len(), mock.lists()), (2, 1));
    assert_eq!(engine.inner.knowledge.flights.held(), (0, 0));
}

#[tokio::test]
async fn one_who_leaves_does_not_take_the_read_along() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let gate = mock.gate();
    let first = start(&engine, snapshot(subjects(&[A]), &[0])).await;
    let second = start(&engine, snapshot(subjects(&[A]), &[0])).await;
    first.abort();
    settle().await;
    gate.open();
    assert!(second.await.unwrap().is_ok());
    assert_eq!(mock.reads().len(), 1);
}

#[tokio::test]
async fn a_read_that_a_write_overtook_is_answered_to_the_old_and_never_kept() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let gate = mock.gate();
    let old = start(&engine, snapshot(subjects(&[A]), &[0])).await;
    mock.write(&touching(&[A]), |world, _| world.put(A, 29, &[(0, Some(777.0))]));
    // This one begins after the write and must not be given the result of that read.
    let new = start(&engine, snapshot(subjects(&[A]), &[0])).await;
    gate.open();
    assert_ne!(value(&data(&old.await.unwrap().unwrap()), 0), 777.0);
    assert_eq!(value(&data(&new.await.unwrap().unwrap()), 0), 777.0);
    assert_eq!(engine.stats().rejected_stale, 1);
    let kept = engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    assert_eq!((kept.cache, value(&data(&kept), 0)), (CacheStatus::Hit, 777.0));
}

#[tokio::test]
async fn nothing_read_between_announcement_and_commit_is_kept() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let touched = touching(&[A]);
    let revision = mock.begin(&touched);
    // Announced, not committed: the old is still right, and not worth keeping.
    let before = engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    assert_ne!(value(&data(&before), 0), 777.0);
    mock.commit(|world, _| world.put(A, 29, &[(0, Some(777.0))]));
    // Committed, not confirmed: who reads sees it, and may keep it.
    let after = engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    assert_eq!((after.cache, value(&data(&after), 0)), (CacheStatus::Miss, 777.0));
    let kept = engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    assert_eq!((kept.cache, value(&data(&kept), 0)), (CacheStatus::Hit, 777.0));
    mock.end(revision, &touched);
    let kept = engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    assert_eq!((kept.cache, kept.revision), (CacheStatus::Hit, revision));
    assert_eq!(engine.inner.knowledge.flights.held(), (0, 0));
}

#[tokio::test]
async fn who_has_seen_the_new_is_never_shown_the_old() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let touched = touching(&[A, B]);
    let revision = mock.begin(&touched);
    let gate = mock.gate();
    let slow = start(&engine, snapshot(subjects(&[A]), &[0])).await;
    mock.commit(|world, _| {
        world.put(A, 29, &[(0, Some(777.0))]);
        world.put(B, 29, &[(0, Some(777.0))]);
    });
    // Someone reads B and so sees the write, before the writer has said that it is done. The read
    // of A began before the commit and may be shared by nobody who comes from now on.
    let gate2 = mock.gate();
    let seen = start(&engine, snapshot(subjects(&[B]), &[0])).await;
    gate2.open();
    assert_eq!(value(&data(&seen.await.unwrap().unwrap()), 0), 777.0);
    let late = start(&engine, snapshot(subjects(&[A]), &[0])).await;
    gate.open();
    assert_ne!(value(&data(&slow.await.unwrap().unwrap()), 0), 777.0);
    assert_eq!(value(&data(&late.await.unwrap().unwrap()), 0), 777.0);
    mock.end(revision, &touched);
}

#[tokio::test]
async fn parts_from_both_sides_of_a_write_are_never_put_together() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    engine.snapshot(&snapshot(subjects(&[A]), &[0])).await.unwrap();
    // A is known. Before B is read, a write changes both.
    let gate = mock.gate_before();
    let both = start(&engine, snapshot(subjects(&[A, B]), &[0])).await;
    mock.write(&touching(&[A, B]), |world, _| {
        world.put(A, 29, &[(0, Some(777.0))]);
        world.put(B, 29, &[(0, Some(777.0))]);
    });
    gate.open();
    let answer = data(&both.await.unwrap().unwrap());
    assert_eq!((value(&answer, 0), value(&answer, 1)), (777.0, 777.0));
}

#[tokio::test]
async fn an_aborted_write_costs_nothing_but_a_read() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let query = snapshot(subjects(&[A]), &[0]);
    engine.snapshot(&query).await.unwrap();
    let touched = touching(&[A]);
    let revision = mock.begin(&touched);
    let gate = mock.gate();
    let during = start(&engine, query.clone()).await;
    mock.abort(revision, &touched);
    gate.open();
    assert!(during.await.unwrap().is_ok());
    engine.snapshot(&query).await.unwrap();
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Hit);
    // The number is used again, by a write that comes through.
    mock.write(&touched, |world, _| world.put(A, 29, &[(0, Some(777.0))]));
    assert_eq!(value(&data(&engine.snapshot(&query).await.unwrap()), 0), 777.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_foretold_is_dropped_and_not_remembered_until_the_store_has_it() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let query = snapshot(subjects(&[A]), &[0]);
    let old = data(&engine.snapshot(&query).await.unwrap());
    let next = mock.confirmed() + 1;
    assert_eq!(engine.foretell(&A.into(), next), Heard::News { dropped: true });
    assert_eq!(engine.foretell(&A.into(), next), Heard::Old);
    for _ in 0..3 {
        let answer = engine.snapshot(&query).await.unwrap();
        assert_eq!((answer.cache, data(&answer)), (CacheStatus::Miss, old.clone()));
    }
    // Neither is what another node hands over, though it be of this revision.
    let other = Engine::new(mock.clone(), CacheLimits::default());
    other.snapshot(&query).await.unwrap();
    let parcel = other.give(|_| true, 1 << 20).await.unwrap();
    assert_eq!(engine.take(parcel.bytes, false, 1 << 20).await.unwrap().entries, 0);
    mock.write(&touching(&[A]), |world, _| world.put(A, 29, &[(0, Some(777.0))]));
    assert_eq!(engine.foretold(), 0);
    for cache in [CacheStatus::Miss, CacheStatus::Hit] {
        let answer = engine.snapshot(&query).await.unwrap();
        assert_eq!((answer.cache, value(&data(&answer), 0)), (cache, 777.0));
    }
    assert_eq!(engine.foretell(&A.into(), next), Heard::Old, "late");
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Hit);
}

#[tokio::test(start_paused = true)]
async fn what_was_foretold_and_never_comes_is_given_up() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let query = snapshot(subjects(&[A]), &[0]);
    assert_eq!(engine.foretell(&A.into(), u64::MAX), Heard::News { dropped: false });
    engine.snapshot(&query).await.unwrap();
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Miss);
    tokio::time::advance(Duration::from_secs(11)).await;
    engine.purge_foretold();
    engine.snapshot(&query).await.unwrap();
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Hit);
    assert_eq!(engine.inner.knowledge.flights.held(), (0, 0));
}

#[tokio::test]
async fn a_read_that_word_of_a_write_overtook_is_kept_only_if_it_saw_the_write() {
    for sees in [false, true] {
        let mock = Mock::new(world());
        let engine = engine(&mock);
        let query = snapshot(subjects(&[A]), &[0]);
        let gate = if sees { mock.gate_before() } else { mock.gate() };
        let reading = start(&engine, query.clone()).await;
        let next = mock.confirmed() + 1;
        engine.foretell(&A.into(), next);
        if sees {
            mock.write(&touching(&[A]), |world, _| world.put(A, 29, &[(0, Some(777.0))]));
        }
        gate.open();
        let answer = data(&reading.await.unwrap().unwrap());
        assert_eq!(value(&answer, 0) == 777.0, sees);
        let again = engine.snapshot(&query).await.unwrap();
        assert_eq!(again.cache == CacheStatus::Hit, sees);
        assert_eq!(engine.stats().rejected_stale, if sees { 0 } else { 2 });
    }
}

#[tokio::test]
async fn memberships_follow_the_same_rules() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    let query = snapshot(Scope::Topic("even".into()), &[0]);
    let gate = mock.gate();
    let old = start(&engine, query.clone()).await;
    let touched = Touched { subjects: vec![A.into()], membership: true };
    mock.write(&touched, |world, _| {
        world.topics.get_mut("even").unwrap().insert(A.into());
    });
    let new = start(&engine, query.clone()).await;
    gate.open();
    assert_eq!(data(&new.await.unwrap().unwrap()).as_array().unwrap().len(), 7);
    let old = data(&old.await.unwrap().unwrap());
    assert!([6, 7].contains(&old.as_array().unwrap().len()));
    assert_eq!(engine.snapshot(&query).await.unwrap().cache, CacheStatus::Hit);
    assert_eq!(engine.inner.knowledge.members.held(), (0, 0));
}

#[tokio::test]
async fn an_old_list_is_never_put_together_with_new_rows() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    // The list is known, its rows are not.
    let nobody = Scope::TopicAnd("even".into(), ["x"].into_iter().collect());
    engine.snapshot(&snapshot(nobody, &[0])).await.unwrap();
    let gate = mock.gate_before();
    let query = start(&engine, snapshot(Scope::Topic("even".into()), &[0])).await;
    let touched = Touched { subjects: vec![A.into(), B.into()], membership: true };
    mock.write(&touched, |world, _| {
        world.topics.get_mut("even").unwrap().insert(A.into());
        world.put(B, 29, &[(0, Some(777.0))]);
    });
    gate.open();
    let answer = data(&query.await.unwrap().unwrap());
    assert_eq!((answer.as_array().unwrap().len(), value(&answer, 1)), (7, 777.0));
}

#[tokio::test]
async fn a_write_that_never_pauses_does_not_starve_a_query() {
    let mock = Mock::new(world());
    let engine = engine(&mock);
    mock.delay(3);
    let touched = touching(&[A, B]);
    let writer = {
        let (mock, touched) = (mock.clone(), touched.clone());
        tokio::spawn(async move {
            loop {
                let revision = mock.begin(&touched);
                yield_now().await;
                mock.commit(|world, revision| {
                    world.put(A, 29, &[(0, Some(revision as f64))]);
                    world.put(B, 29, &[(0, Some(revision as f64))]);
                });
                yield_now().await;
                mock.end(revision, &touched);
            }
        })
    };
    for _ in 0..50 {
        let query = snapshot(subjects(&[A, B]), &[0]);
        let answer = tokio::time::timeout(Duration::from_secs(20), engine.snapshot(&query)).await;
        let answer = data(&answer.unwrap().unwrap());
        let (a, b) = (value(&answer, 0), value(&answer, 1));
        assert!(a == b || (a, b) == (58.0, 87.0), "{a} and {b}");
    }
    writer.abort();
}

#[tokio::test]
async fn a_quick_read_does_not_wait_for_a_large_one() {
    let mut large = world();
    for i in 0..200 {
        large.put(&format!("44:{i}"), 1, &[(0, Some(1.0))]);
        large.topics.entry("large".into()).or_default().insert(format!("44:{i}"));
    }
    let mock = Mock::new(large);
    let engine = engine(&mock);
    let names_read = snapshot(Scope::Topic("large".into()), &[0]);
    engine
        .snapshot(&snapshot(Scope::TopicAnd("large".into(), ["x"].into_iter().collect()), &[0]))
        .await
        .unwrap();
    let gate = mock.gate();
    let slow = start(&engine, names_read.clone()).await;
    let gate2 = mock.gate();
    let quick = start(&engine, snapshot(subjects(&["44:7"]), &[0])).await;
    gate2.open();
    assert!(quick.await.unwrap().is_ok());
    assert!(!slow.is_finished());
    gate.open();
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(data(&answer), mock.world().snapshot(&names_read, &names(&names_read.indicators)));
}
