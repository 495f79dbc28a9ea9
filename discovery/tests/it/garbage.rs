use std::time::Duration;

use etcd_client::{Txn, TxnOp};
use kamaitachi_discovery::testing::Etcd;

use crate::support::{A, B, follow_with, key, until_health, until_members};

#[tokio::test]
async fn garbage_among_registrations_is_refused_counted_and_changes_nothing() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    let megabyte = "x".repeat(1 << 20);
    let garbage = [
        ("garbage", "garbage"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("[fe80::1]:80", "[fe80::1]:80"),
        ("8.8.8.8:53", "8.8.8.8:53"),
        ("127.0.0.1:8083", megabyte.as_str()),
        ("127.0.0.1:8084", "127.0.0.1:8085"),
        ("x.invalid:80", "x.invalid:80"),
    ];
    // Some are there at the start, more than one answer may hold; the others come later.
    for n in 0..12 {
        client.put(key(&format!("many-{n}")), megabyte.as_str(), None).await.unwrap();
    }
    client.put(key(A), A, None).await.unwrap();
    let found = follow_with(&etcd, &[], |settings| {
        settings.allow.own = vec!["127.0.0.1:9000".parse().unwrap()];
    });
    until_members(&found, &[A]).await;
    assert_eq!(found.health().refused, 12);
    for (name, value) in garbage {
        client.put(key(name), value, None).await.unwrap();
    }
    // IPv6 is as good as IPv4, and a repeat is nothing new.
    let six = "[::1]:8081";
    for addr in [B, six, B, A] {
        client.put(key(addr), addr, None).await.unwrap();
    }
    until_members(&found, &[A, B, six]).await;
    assert_eq!(found.health().refused, 12 + 8);
}

#[tokio::test]
async fn ten_thousand_keys_are_read_in_pages_and_bounded() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    for hundred in 0..100 {
        let puts: Vec<_> = (0..100)
            .map(|n| format!("127.0.0.1:{}", 10_000 + hundred * 100 + n))
            .map(|addr| TxnOp::put(key(&addr), addr, None))
            .collect();
        client.txn(Txn::new().and_then(puts)).await.unwrap();
    }
    client.put(key(B), B, None).await.unwrap();
    let found = follow_with(&etcd, &[B], |settings| settings.most = 500);
    until_health(&found, "all is listed", |health| health.synced.is_some()).await;
    assert_eq!((found.now().len(), found.health().refused), (500, 9_501));
    assert!(found.now().iter().any(|addr| addr.as_str() == B), "who was known stays");
}

#[tokio::test]
async fn a_watch_that_sees_nothing_is_made_good_by_the_next_list() {
    let etcd = Etcd::start().await;
    let found = follow_with(&etcd, &[], |settings| settings.relist = Duration::from_millis(50));
    until_health(&found, "all is listed", |health| health.synced.is_some()).await;
    let first = found.health().synced;
    until_health(&found, "it is listed again", |health| health.synced > first).await;
    etcd.client().await.put(key(A), A, None).await.unwrap();
    until_members(&found, &[A]).await;
    assert!(found.health().connected, "a quiet watch answers when it is asked");
}
