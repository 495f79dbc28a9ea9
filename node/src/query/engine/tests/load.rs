//! Snapshot files of many sections.

use std::{fs, path::Path, sync::Arc};

use super::*;
use crate::{
    cache::snapshot::{Index, SnapshotFiles, SnapshotOptions},
    query::CacheStatus,
};

const SUBJECTS: usize = 40;

fn name(number: usize) -> String {
    format!("33:{number:06}")
}

/// Some 60 KiB of JSON for each subject.
fn large() -> World {
    let mut world = World::default();
    for subject in (0..SUBJECTS).map(name) {
        for date in 0..1500 {
            world.put(&subject, date, &[(0, Some(date as f64)), (1, None)]);
        }
    }
    world
}

fn files(dir: &Path) -> Arc<SnapshotFiles> {
    let dir = dir.to_owned();
    Arc::new(SnapshotFiles::new(SnapshotOptions { dir, keep: 3, compress: false, key: None }))
}

fn limited(mock: &Mock, max_bytes: usize) -> Engine<Mock> {
    let engine = Engine::new(mock.clone(), CacheLimits { max_bytes, ..CacheLimits::default() });
    mock.observe(engine.observer());
    engine
}

async fn ask(engine: &Engine<Mock>, number: usize) -> CacheStatus {
    let query = period(subjects(&[&name(number)]), &[0, 1], 0, 2000);
    engine.period(&query).await.unwrap().cache
}

/// A file of what was asked in the order of the numbers.
async fn saved(mock: &Mock, files: &Arc<SnapshotFiles>) -> std::path::PathBuf {
    // Small enough for one shard: the order is exact.
    let before = limited(mock, 12 << 20);
    for number in 0..SUBJECTS {
        ask(&before, number).await;
    }
    let saved = before.save(files).await.unwrap();
    assert!(Index::open(&saved.path).unwrap().len() >= 3);
    saved.path
}

#[tokio::test]
async fn of_a_file_with_one_bad_section_nothing_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let mock = Mock::new(large());
    let path = saved(&mock, &files).await;
    let good = fs::read(&path).unwrap();
    for at in [60, good.len() / 2, good.len() - 60] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, bad).unwrap();
        let after = engine(&mock);
        assert_eq!(after.restore(&files).await.file, None);
        assert_eq!(after.stats().entries, 0);
        assert!(!path.exists(), "set aside");
    }
    fs::write(&path, good).unwrap();
    assert_eq!(engine(&mock).restore(&files).await.entries, SUBJECTS);
}

#[tokio::test]
async fn where_not_all_find_room_those_used_last_do() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let mock = Mock::new(large());
    saved(&mock, &files).await;
    let small = limited(&mock, 1 << 20);
    let restored = small.restore(&files).await;
    assert!(restored.entries > 3 && restored.entries < SUBJECTS, "{restored}");
    assert_eq!(small.stats().evictions, 0);
    for back in 1..=restored.entries {
        assert_eq!(ask(&small, SUBJECTS - back).await, CacheStatus::Hit, "{back}");
    }
    assert_eq!(ask(&small, 0).await, CacheStatus::Miss);
}

#[tokio::test]
async fn what_was_learned_meanwhile_stays_and_is_not_known_twice() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let mock = Mock::new(large());
    saved(&mock, &files).await;
    let after = engine(&mock);
    after.period(&period(subjects(&[&name(7)]), &[2], 0, 2000)).await.unwrap();
    let restored = after.restore(&files).await;
    assert_eq!((restored.entries, restored.left_out), (SUBJECTS - 1, 1));
    assert_eq!(after.stats().entries, SUBJECTS as u64);
    let both = period(subjects(&[&name(7)]), &[1, 2], 0, 2000);
    assert_eq!(after.period(&both).await.unwrap().cache, CacheStatus::Partial);
}
