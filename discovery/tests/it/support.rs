//! What the tests share.

use std::time::Duration;

use kamaitachi_discovery::{
    Found, Health, NodeAddr,
    follow::{self, Settings},
    register::{Registration, Service, Standing},
    testing::Etcd,
    view::Guard,
};

pub(crate) const SERVICE: &str = "kamaitachi-slave";
pub(crate) const A: &str = "127.0.0.1:8081";
pub(crate) const B: &str = "127.0.0.1:8082";

/// Longer than anything should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn service(addr: &str) -> Service {
    Service { name: SERVICE.to_owned(), addr: addr.parse().unwrap() }
}

pub(crate) fn register(etcd: &Etcd, addr: &str) -> Registration {
    Registration::start(etcd.settings(), service(addr))
}

pub(crate) fn follow(etcd: &Etcd) -> Found {
    follow_with(etcd, &[], |_| ())
}

pub(crate) fn follow_with(etcd: &Etcd, start: &[&str], change: impl Fn(&mut Settings)) -> Found {
    let mut settings = Settings::new(SERVICE);
    settings.guard = Guard { hold: Duration::from_secs(600), ..Guard::default() };
    change(&mut settings);
    let start = start.iter().map(|addr| addr.parse().unwrap()).collect();
    follow::start(etcd.settings(), settings, start)
}

async fn within<T>(what: &str, waited: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    waited.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// Waits until the members are these.
pub(crate) async fn until_members(found: &Found, expected: &[&str]) {
    let is = |members: &std::sync::Arc<[NodeAddr]>| {
        members.iter().map(NodeAddr::as_str).eq(expected.iter().copied())
    };
    let mut members = found.members();
    within(&format!("the members are {expected:?}, not {:?}", found.now()), async {
        members.wait_for(is).await.unwrap();
    })
    .await;
}

/// Waits until the health of what is followed is so.
pub(crate) async fn until_health(found: &Found, what: &str, is: impl Fn(&Health) -> bool) {
    let mut changes = found.health_changes();
    within(what, async { drop(changes.wait_for(|health| is(health)).await.unwrap()) }).await;
}

/// Waits until a registration stands so.
pub(crate) async fn until_standing(
    registration: &Registration,
    what: &str,
    is: impl Fn(&Standing) -> bool,
) {
    let mut changes = registration.changes();
    within(what, async { drop(changes.wait_for(|standing| is(standing)).await.unwrap()) }).await;
}

pub(crate) async fn until_registered(registration: &Registration) {
    until_standing(registration, "it is registered", |standing| standing.registered).await;
}

/// The keys and values under the prefix of all services.
pub(crate) async fn keys(etcd: &Etcd) -> Vec<(String, String, i64)> {
    let options = etcd_client::GetOptions::new().with_prefix();
    let answer = etcd.client().await.get("/services/", Some(options)).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    answer.kvs().iter().map(|kv| (text(kv.key()), text(kv.value()), kv.lease())).collect()
}

pub(crate) fn key(addr: &str) -> String {
    format!("/services/{SERVICE}/{addr}")
}
