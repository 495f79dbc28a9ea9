//! A group that is alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{advance, sleep};

use crate::group::{ChangeKind, Error, Group, Lost, MAX_KEY, SetOptions, Ttl, Wait};

/// A loader that counts, and knows every key but those that begin with `no`.
fn counting() -> (Arc<AtomicU32>, crate::group::Builder<Bytes>) {
    let loads = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&loads);
    let builder = Group::bytes("test").jitter(0.0).loader(move |key: Arc<str>| {
        let counter = Arc::clone(&counter);
        async move {
            let count = counter.fetch_add(1, SeqCst);
            let value = (!key.starts_with("no")).then(|| Bytes::from(format!("{key}{count}")));
            Ok::<_, String>(value)
        }
    });
    (loads, builder)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_value_is_loaded_once_for_its_life() {
    let (loads, builder) = counting();
    let group = builder.ttl(Duration::from_secs(60)).build();
    for _ in 0..3 {
        assert_eq!(group.get("k").await.unwrap(), Some(bytes("k0")));
    }
    assert_eq!(group.ttl("k").unwrap(), Some(Ttl::Value(Duration::from_secs(60))));
    advance(Duration::from_secs(61)).await;
    assert_eq!(group.get("k").await.unwrap(), Some(bytes("k1")));
    let stats = group.stats();
    assert_eq!((stats.hits_local, stats.misses, stats.loads), (2, 2, 2));
    assert_eq!(loads.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_value_is_remembered_for_a_shorter_time() {
    let (loads, builder) = counting();
    let group = builder.negative_ttl(Duration::from_secs(5)).build();
    for _ in 0..3 {
        assert_eq!(group.get("nothing").await.unwrap(), None);
    }
    assert_eq!(group.ttl("nothing").unwrap(), Some(Ttl::Negative(Duration::from_secs(5))));
    assert_eq!(loads.load(SeqCst), 1);
    advance(Duration::from_secs(5)).await;
    assert_eq!(group.get("nothing").await.unwrap(), None);
    assert_eq!(loads.load(SeqCst), 2);
    group.set("nothing", bytes("something")).await.unwrap();
    assert_eq!(group.get("nothing").await.unwrap(), Some(bytes("something")));
}

#[tokio::test(start_paused = true)]
async fn what_is_set_is_held_until_its_end_or_its_delete() {
    let group = Group::bytes("test").build();
    assert_eq!(group.get("k").await.unwrap(), None);
    let options = SetOptions { ttl: Some(Duration::from_secs(5)), wait: Wait::All };
    let written = group.set_with("k", bytes("v"), options).await.unwrap();
    assert!(written.satisfied && !written.existed, "nobody is to be waited for");
    assert!(group.delete("k").await.unwrap().existed);
    assert_eq!(group.get("k").await.unwrap(), None);
    group.set_with("k", bytes("v"), options).await.unwrap();
    advance(Duration::from_secs(5)).await;
    assert_eq!(group.get("k").await.unwrap(), None);
    let set = group.set_many([("a".into(), bytes("1")), ("b".into(), bytes("2"))], options).await;
    assert!(set.iter().all(Result::is_ok));
    let got = group.get_many(&["b", "x", "a"]).await;
    let got: Vec<_> = got.into_iter().map(Result::unwrap).collect();
    assert_eq!(got, [Some(bytes("2")), None, Some(bytes("1"))]);
    let gone = group.delete_many(&["a", "x"], Wait::None).await;
    assert_eq!(gone.iter().filter(|one| one.as_ref().unwrap().existed).count(), 1);
}

#[tokio::test]
async fn a_clear_forgets_everything_and_what_comes_after_stays() {
    let (loads, builder) = counting();
    let group = builder.build();
    group.set("set", bytes("v")).await.unwrap();
    group.get("loaded").await.unwrap();
    group.clear().await;
    assert_eq!(group.ttl("set").unwrap(), None);
    assert_eq!(group.ttl("loaded").unwrap(), None);
    group.set("set", bytes("w")).await.unwrap();
    assert_eq!(group.get("set").await.unwrap(), Some(bytes("w")));
    assert_eq!(group.get("loaded").await.unwrap(), Some(bytes("loaded1")));
    assert_eq!(loads.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_write_overtook_is_not_kept() {
    let group = Group::bytes("test")
        .loader(|_| async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, String>(Some(bytes("stale")))
        })
        .build();
    let write = async {
        sleep(Duration::from_millis(500)).await;
        group.set("k", bytes("new")).await.unwrap();
        group.delete("d").await.unwrap();
        group.clear().await;
        group.set("k", bytes("newer")).await.unwrap();
    };
    let (k, d, other, ()) = tokio::join!(group.get("k"), group.get("d"), group.get("other"), write);
    for began_before in [k, d, other] {
        assert_eq!(began_before.unwrap(), Some(bytes("stale")), "it asked before the write");
    }
    assert_eq!(group.get("k").await.unwrap(), Some(bytes("newer")));
    assert_eq!((group.ttl("d").unwrap(), group.ttl("other").unwrap()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_fails_panics_or_hangs_is_told_and_locks_nothing() {
    let tries = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&tries);
    let load = move |_| {
        let attempt = counter.fetch_add(1, SeqCst);
        async move {
            match attempt {
                0 => Err("no luck"),
                1 => panic!("on purpose"),
                2 => std::future::pending().await,
                _ => Ok(Some(bytes("v"))),
            }
        }
    };
    let limit = Duration::from_secs(3);
    let group = Group::bytes("test").load_timeout(limit).loader(load).build();
    assert_eq!(group.get("k").await.unwrap_err().to_string(), "the loader failed: no luck");
    assert!(matches!(group.get("k").await, Err(Error::Lost(Lost::Panicked))));
    assert!(matches!(group.get("k").await, Err(Error::Lost(Lost::TooSlow(_)))));
    assert_eq!(group.get("k").await.unwrap(), Some(bytes("v")));
    assert_eq!((group.stats().loads, group.stats().load_errors), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_loaded_anew_before_its_end_if_it_is_wanted() {
    let (loads, builder) = counting();
    let group = builder.ttl(Duration::from_secs(100)).refresh_ahead(0.2).build();
    group.get("k").await.unwrap();
    advance(Duration::from_secs(79)).await;
    group.get("k").await.unwrap();
    assert_eq!(loads.load(SeqCst), 1);
    advance(Duration::from_secs(2)).await;
    assert_eq!(group.get("k").await.unwrap(), Some(bytes("k0")), "nobody waits");
    while loads.load(SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(group.get("k").await.unwrap(), Some(bytes("k1")));
}

#[tokio::test]
async fn keys_and_values_out_of_range_are_refused() {
    let group = Group::bytes("test").build();
    for key in [String::new(), "k".repeat(MAX_KEY + 1)] {
        assert!(matches!(group.get(&key).await, Err(Error::BadKey { .. })));
        assert!(matches!(group.set(&key, Bytes::new()).await, Err(Error::BadKey { .. })));
        assert!(matches!(group.delete(&key).await, Err(Error::BadKey { .. })));
    }
    let large = Bytes::from(vec![0; crate::group::MAX_VALUE + 1]);
    assert!(matches!(group.set("k", large).await, Err(Error::TooLarge { .. })));
}

#[tokio::test]
async fn bytes_stay_within_the_budget_and_typed_values_come_back() {
    let group = Group::bytes("test").max_bytes(64 << 10).build();
    for n in 0..1000 {
        group.set(&format!("k{n}"), Bytes::from(vec![0; 1000])).await.unwrap();
        assert!(group.stats().bytes <= 64 << 10);
    }
    assert!(group.stats().evictions > 900);
    let typed = Group::<Vec<u32>>::json("typed").build();
    typed.set("k", vec![1, 2]).await.unwrap();
    assert_eq!(typed.get("k").await.unwrap(), Some(vec![1, 2]));
}

#[tokio::test]
async fn who_watches_is_told_in_order() {
    let group = Group::bytes("test").build();
    let mut changes = group.watch();
    group.set("a", bytes("1")).await.unwrap();
    group.delete("a").await.unwrap();
    group.clear().await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(changes.next().await.unwrap().unwrap().kind);
    }
    assert_eq!(kinds, [ChangeKind::Set, ChangeKind::Deleted, ChangeKind::Cleared]);
}
