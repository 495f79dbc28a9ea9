use std::time::Duration;

use kamaitachi_discovery::{etcd, register::Registration, testing::Etcd};

use crate::support::{
    A, B, follow, key, keys, register, service, until_members, until_registered, until_standing,
};

#[tokio::test]
async fn a_service_is_registered_under_its_address_with_a_lease_and_leaves_at_once() {
    let etcd = Etcd::start().await;
    let found = follow(&etcd);
    let [a, b] = [A, B].map(|addr| register(&etcd, addr));
    until_members(&found, &[A, B]).await;
    let held = keys(&etcd).await;
    assert_eq!(
        (held[0].0.as_str(), held[0].1.as_str()),
        ("/services/kamaitachi-slave/127.0.0.1:8081", A)
    );
    assert!(held.iter().all(|(_, _, lease)| *lease != 0) && held[0].2 != held[1].2);

    assert!(a.deregister().await);
    assert_eq!(keys(&etcd).await.len(), 1);
    until_members(&found, &[B]).await;
    assert!(b.deregister().await);
    until_members(&found, &[]).await;
    assert_eq!(found.health().holds, 0, "who leaves by itself is no suspicion");
}

#[tokio::test]
async fn a_lease_that_is_revoked_under_a_live_service_is_replaced() {
    let etcd = Etcd::start().await;
    let found = follow(&etcd);
    let registration = register(&etcd, A);
    until_members(&found, &[A]).await;
    let (_, _, lease) = keys(&etcd).await.remove(0);
    etcd.client().await.lease_revoke(lease).await.unwrap();
    until_standing(&registration, "it is registered again", |s| s.registered && s.times >= 2).await;
    until_members(&found, &[A]).await;
    assert_eq!(keys(&etcd).await.len(), 1);
}

#[tokio::test]
async fn a_key_that_is_deleted_or_overwritten_is_put_back() {
    let etcd = Etcd::start().await;
    let found = follow(&etcd);
    let registration = register(&etcd, A);
    until_members(&found, &[A]).await;
    let mut client = etcd.client().await;
    client.delete(key(A), None).await.unwrap();
    until_standing(&registration, "it is put back", |s| s.registered && s.times == 2).await;
    client.put(key(A), "garbage", None).await.unwrap();
    until_standing(&registration, "it is put back again", |s| s.registered && s.times == 3).await;
    until_members(&found, &[A]).await;
    let held = keys(&etcd).await;
    assert!(held.len() == 1 && held[0].1 == A && held[0].2 != 0);
}

#[tokio::test]
async fn two_processes_with_one_address_do_not_fight_over_it() {
    let etcd = Etcd::start().await;
    let first = register(&etcd, A);
    until_registered(&first).await;
    let second = register(&etcd, A);
    until_registered(&second).await;
    // The later one has the key; when it leaves, the earlier one takes it back.
    assert!(second.deregister().await);
    until_standing(&first, "it is put back", |s| s.registered && s.times == 2).await;
    assert_eq!(keys(&etcd).await.len(), 1);
}

#[tokio::test]
async fn a_service_that_dies_is_gone_with_its_lease() {
    let etcd = Etcd::start().await;
    let found = follow(&etcd);
    let settings = etcd::Settings { ttl: Duration::from_secs(1), ..etcd.settings() };
    let registration = Registration::start(settings, service(A));
    until_members(&found, &[A]).await;
    // As if it had been killed: nothing is revoked, nothing is kept alive.
    drop(registration);
    until_members(&found, &[]).await;
}

#[tokio::test]
async fn any_of_several_endpoints_is_enough() {
    let etcd = Etcd::start().await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = etcd::Settings::new([dead.to_string(), etcd.endpoint()]);
    let registration = Registration::start(settings.clone(), service(A));
    until_registered(&registration).await;
    let follow = kamaitachi_discovery::follow::Settings::new(&service(A).name);
    let found = kamaitachi_discovery::follow::start(settings, follow, Vec::new());
    until_members(&found, &[A]).await;
}

#[tokio::test]
async fn to_deregister_ends_soon_even_if_etcd_does_not_answer() {
    let mut etcd = Etcd::start().await;
    let registration = register(&etcd, A);
    until_registered(&registration).await;
    etcd.kill();
    assert!(!registration.deregister().await);
}

#[tokio::test]
async fn another_service_whose_name_begins_the_same_is_not_seen() {
    let etcd = Etcd::start().await;
    let found = follow(&etcd);
    let mut client = etcd.client().await;
    client.put(format!("/services/kamaitachi-slave2/{B}"), B, None).await.unwrap();
    client.put(key(A), A, None).await.unwrap();
    until_members(&found, &[A]).await;
    assert_eq!(found.health().refused, 0);
}

#[tokio::test]
async fn an_etcd_that_wants_a_password_gets_it_and_refuses_who_has_none() {
    let etcd = Etcd::start().await;
    etcd.protect("hush").await;
    let stranger = register(&etcd, B);
    until_standing(&stranger, "it is refused", |standing| standing.trouble.is_some()).await;
    let user = Some(("root".to_owned(), "hush".into()));
    let settings = etcd::Settings { user, ..etcd.settings() };
    let registration = Registration::start(settings.clone(), service(A));
    let follow = kamaitachi_discovery::follow::Settings::new(&service(A).name);
    let found = kamaitachi_discovery::follow::start(settings, follow, Vec::new());
    until_members(&found, &[A]).await;
    assert!(registration.deregister().await);
    until_members(&found, &[]).await;
}
