//! Stops and starts: what a snapshot brings back, and what it must not.

use std::{fs, path::Path, sync::Arc, time::Duration};

use proptest::prelude::*;
use secrecy::SecretBox;

use super::{
    model::{Step, ask, change, step, touched, truth},
    *,
};
use crate::{
    cache::snapshot::{HistoryId, SnapshotFiles, SnapshotOptions},
    query::{CacheStatus, testing::data},
};

const A: &str = "33:000001";
const B: &str = "33:000002";

fn files(dir: &Path, key: Option<u8>) -> Arc<SnapshotFiles> {
    let key = key.map(|byte| SecretBox::new(Box::new([byte; 32])));
    let dir = dir.to_owned();
    Arc::new(SnapshotFiles::new(SnapshotOptions { dir, keep: 3, compress: true, key }))
}

fn both() -> SnapshotQuery {
    snapshot(subjects(&[A, B, "33:no"]), &[0, 2])
}

#[tokio::test]
async fn a_restart_forgets_nothing_but_what_was_written_since() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), Some(1));
    let mock = Mock::new(world());
    let before = engine(&mock);
    before.snapshot(&both()).await.unwrap();
    assert_eq!(before.save(&files).await.unwrap().entries, 3);

    let after = engine(&mock);
    let restored = after.restore(&files).await;
    assert_eq!((restored.entries, restored.left_out), (3, 0));
    assert_eq!(restored.to_string(), "3 subjects from cache-00000001.snapshot, 0 left out");
    let answer = after.snapshot(&both()).await.unwrap();
    assert_eq!(answer.cache, CacheStatus::Hit);
    assert_eq!(answer.body, before.snapshot(&both()).await.unwrap().body);

    mock.write(&touching(&[A]), |world, _| world.put(A, 29, &[(0, Some(777.0))]));
    let after = engine(&mock);
    let restored = after.restore(&files).await;
    assert_eq!((restored.entries, restored.left_out), (2, 1));
    let answer = after.snapshot(&both()).await.unwrap();
    assert_eq!(
        (answer.cache, data(&answer)[0]["data"]["i0"].as_f64()),
        (CacheStatus::Partial, Some(777.0))
    );
}

#[tokio::test(start_paused = true)]
async fn what_had_little_time_left_has_no_more_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), None);
    let mock = Mock::new(world());
    let before = engine(&mock);
    before.snapshot(&both()).await.unwrap();
    tokio::time::advance(Duration::from_secs(3000)).await;
    before.save(&files).await.unwrap();
    let after = engine(&mock);
    assert_eq!(after.restore(&files).await.entries, 3);
    tokio::time::advance(Duration::from_secs(601)).await;
    assert_eq!(after.snapshot(&both()).await.unwrap().cache, CacheStatus::Miss);
    // What has expired is not even saved.
    let gone = engine(&mock);
    gone.snapshot(&both()).await.unwrap();
    tokio::time::advance(Duration::from_secs(3601)).await;
    assert_eq!(gone.save(&files).await.unwrap().entries, 0);
}

#[tokio::test]
async fn a_snapshot_ahead_of_its_store_is_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), None);
    let mock = Mock::new(world());
    let first = engine(&mock);
    first.snapshot(&both()).await.unwrap();
    first.save(&files).await.unwrap();
    mock.write(&touching(&[A]), |world, _| world.put(A, 29, &[(0, Some(666.0))]));
    first.snapshot(&both()).await.unwrap();
    first.save(&files).await.unwrap();
    // The store is put back to what it was; the older snapshot is still right.
    let back = Mock::new(world());
    let after = engine(&back);
    let restored = after.restore(&files).await;
    assert_eq!(restored.file.as_deref(), Some("cache-00000001.snapshot"));
    // Another write takes the number of the one that was undone.
    back.write(&touching(&[B]), |world, _| world.put(B, 29, &[(0, Some(1.0))]));
    let after = engine(&back);
    after.restore(&files).await;
    let answer = data(&after.snapshot(&both()).await.unwrap());
    assert_ne!(answer[0]["data"]["i0"].as_f64(), Some(666.0));
    assert_eq!(answer[1]["data"]["i0"].as_f64(), Some(1.0));
}

#[tokio::test]
async fn a_file_for_another_key_is_left_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mock = Mock::new(world());
    let first = engine(&mock);
    first.snapshot(&both()).await.unwrap();
    first.save(&files(dir.path(), Some(1))).await.unwrap();
    for key in [Some(2), None] {
        let after = engine(&mock);
        assert_eq!(after.restore(&files(dir.path(), key)).await.file, None);
        assert_eq!(after.snapshot(&both()).await.unwrap().cache, CacheStatus::Miss);
    }
    assert_eq!(engine(&mock).restore(&files(dir.path(), Some(1))).await.entries, 3);
}

#[tokio::test]
async fn whole_by_its_checksums_and_still_nonsense_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), None);
    let mock = Mock::new(world());
    let first = engine(&mock);
    first.snapshot(&both()).await.unwrap();
    first.save(&files).await.unwrap();
    let nonsense = |out: &mut Vec<u8>| out.extend_from_slice(b"{\"subject\":7}");
    files.save(0, HistoryId::default(), 0, [nonsense].into_iter()).unwrap();
    let restored = engine(&mock).restore(&files).await;
    assert_eq!(restored.file.as_deref(), Some("cache-00000001.snapshot"));
    assert!(dir.path().join("cache-00000002.snapshot.damaged").exists());
}

#[tokio::test]
async fn a_write_while_the_file_is_loaded_wins() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), None);
    let mock = Mock::new(world());
    let first = engine(&mock);
    first.snapshot(&both()).await.unwrap();
    first.save(&files).await.unwrap();
    let after = engine(&mock);
    let gate = mock.gate();
    let restoring = {
        let (after, files) = (after.clone(), Arc::clone(&files));
        tokio::spawn(async move { after.restore(&files).await })
    };
    // What changed since is being asked; the answer will not know of this.
    while mock.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    mock.write(&touching(&[A]), |world, _| world.put(A, 29, &[(0, Some(777.0))]));
    gate.open();
    restoring.await.unwrap();
    let answer = data(&after.snapshot(&both()).await.unwrap());
    assert_eq!(answer[0]["data"]["i0"].as_f64(), Some(777.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// As in `model`, with restarts; sometimes the newest file is damaged in between.
    #[test]
    fn no_sequence_with_restarts_changes_an_answer(
        lives in prop::collection::vec(
            (prop::collection::vec(step(), 1..12), any::<bool>(), any::<prop::sample::Index>(),
                prop::collection::vec(step(), 0..4)), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let files = files(dir.path(), None);
            let mock = Mock::new(super::world());
            for (steps, damage, at, meanwhile) in &lives {
                let engine = engine(&mock);
                engine.restore(&files).await;
                for step in steps {
                    match step {
                        Step::Write(_) | Step::Membership(_) => {
                            mock.write(&touched(step), |world, _| change(step, world));
                        }
                        Step::Clear => engine.reset(true),
                        Step::Pass(seconds) => {
                            tokio::time::advance(Duration::from_secs(*seconds)).await;
                        }
                        Step::Abort(_) | Step::Foretell(..) => {}
                        query => {
                            let answer = ask(&engine, query).await.unwrap().unwrap();
                            prop_assert_eq!(data(&answer), truth(&mock.world(), query));
                        }
                    }
                }
                let saved = engine.save(&files).await.unwrap();
                if *damage {
                    let mut bytes = fs::read(&saved.path).unwrap();
                    let at = at.index(bytes.len());
                    bytes[at] ^= 0x10;
                    fs::write(&saved.path, bytes).unwrap();
                }
                // What is written while the node is down; queries are for others.
                for step in meanwhile {
                    mock.write(&touched(step), |world, _| change(step, world));
                }
            }
            Ok(())
        })?;
    }
}
