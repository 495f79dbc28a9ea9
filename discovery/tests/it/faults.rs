use std::time::Duration;

use kamaitachi_discovery::{Origin, testing::Etcd};

use crate::support::{
    A, B, follow, follow_with, key, register, until_health, until_members, until_registered,
    until_standing,
};

#[tokio::test]
async fn etcd_may_crash_and_come_back_with_its_data() {
    let mut etcd = Etcd::start().await;
    let found = follow(&etcd);
    let [a, b] = [A, B].map(|addr| register(&etcd, addr));
    until_members(&found, &[A, B]).await;
    let epoch = found.health().epoch;
    etcd.kill();
    until_health(&found, "it is noticed", |health| !health.connected).await;
    for registration in [&a, &b] {
        until_standing(registration, "it is noticed", |standing| !standing.registered).await;
    }
    assert_eq!(found.now().len(), 2, "the members stay as they are");
    etcd.restart().await;
    until_health(&found, "etcd is back", |health| health.connected).await;
    for registration in [&a, &b] {
        until_registered(registration).await;
    }
    until_members(&found, &[A, B]).await;
    assert_eq!(found.health().epoch, epoch, "nobody was ever gone");
    assert!(b.deregister().await);
    until_members(&found, &[A]).await;
}

#[tokio::test]
async fn an_etcd_that_comes_back_empty_empties_nothing_and_is_filled_again() {
    let mut etcd = Etcd::start().await;
    let found = follow(&etcd);
    let [a, b] = [A, B].map(|addr| register(&etcd, addr));
    until_members(&found, &[A, B]).await;
    let epoch = found.health().epoch;
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    for registration in [&a, &b] {
        until_standing(registration, "it is back", |s| s.registered && s.times >= 2).await;
    }
    until_health(&found, "nobody is held any more", |h| h.connected && h.held == 0).await;
    until_members(&found, &[A, B]).await;
    assert_eq!(found.health().epoch, epoch, "nobody was ever gone");
}

#[tokio::test]
async fn members_that_never_come_back_to_an_empty_etcd_go_when_that_is_confirmed() {
    let mut etcd = Etcd::start().await;
    let found = follow_with(&etcd, &[], |settings| {
        settings.guard.hold = Duration::from_millis(300);
    });
    let [a, b] = [A, B].map(|addr| register(&etcd, addr));
    until_members(&found, &[A, B]).await;
    drop(a);
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    until_members(&found, &[B]).await;
    until_registered(&b).await;
}

#[tokio::test]
async fn history_that_was_compacted_away_is_listed_anew() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    client.put(key(A), A, None).await.unwrap();
    let found = follow(&etcd);
    until_members(&found, &[A]).await;
    // Cut off, etcd goes on, and forgets what the watch would need.
    let mut stopped = Stopped::new(etcd.pid().unwrap());
    until_health(&found, "it is noticed", |health| !health.connected).await;
    stopped.resume();
    let mut last = 0;
    for round in 0..50 {
        let put = client.put(key(B), B, None).await.unwrap();
        last = put.header().unwrap().revision();
        if round % 2 == 0 {
            client.delete(key(B), None).await.unwrap();
        }
    }
    client.compact(last, None).await.unwrap();
    until_members(&found, &[A, B]).await;
}

#[tokio::test]
async fn an_etcd_that_hangs_is_noticed_by_pings() {
    let etcd = Etcd::start().await;
    let found = follow(&etcd);
    let registration = register(&etcd, A);
    until_members(&found, &[A]).await;
    let mut stopped = Stopped::new(etcd.pid().unwrap());
    until_health(&found, "it is noticed", |health| !health.connected).await;
    until_standing(&registration, "it is noticed", |standing| !standing.registered).await;
    assert_eq!(found.now().len(), 1);
    stopped.resume();
    until_registered(&registration).await;
    until_health(&found, "it is back", |health| health.connected).await;
    until_members(&found, &[A]).await;
}

#[tokio::test]
async fn what_is_known_from_before_serves_while_etcd_is_down_and_gives_way_to_it() {
    let mut etcd = Etcd::start().await;
    etcd.kill();
    let found = follow_with(&etcd, &[B], |settings| {
        settings.origin = Origin::Disk;
        settings.guard.hold = Duration::from_millis(300);
    });
    until_members(&found, &[B]).await;
    until_health(&found, "etcd is missed", |health| health.trouble.is_some()).await;
    assert_eq!(found.health().origin, Origin::Disk);
    etcd.restart().await;
    etcd.client().await.put(key(A), A, None).await.unwrap();
    until_health(&found, "etcd has answered", |health| health.origin == Origin::Etcd).await;
    until_members(&found, &[A]).await;
}

/// A process that is stopped, and goes on at the latest when this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new(pid: u32) -> Self {
        signal("STOP", pid);
        Self(pid)
    }

    fn resume(&mut self) {
        signal("CONT", self.0);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.resume();
    }
}

fn signal(signal: &str, pid: u32) {
    let status = std::process::Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}
