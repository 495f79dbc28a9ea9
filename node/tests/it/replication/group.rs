//! The group of the subjects: what the master writes is deleted in the caches of its slaves.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use kamaitachi_discovery::{Found, NodeAddr, Origin, testing::Etcd};
use kamaitachi_node::{
    group::proto::{
        self, ApplyRequest, Mark, Version, Write, apply_reply::Outcome, cache_client::CacheClient,
        sync_client::SyncClient, write::Kind,
    },
    subjects::{GROUP, Settings},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::{Code, Request, Status, transport::Channel};

use super::{addr, directory, end_equal, in_step, slave_with, store, until};
use crate::support::{Answer, Q1, Running, SNAPSHOT, row};

type Members = watch::Sender<Arc<[NodeAddr]>>;

fn members() -> Members {
    watch::channel(Vec::new().into()).0
}

fn settings(members: &Members, token: Option<&str>) -> Settings {
    Settings {
        nodes: Found::following(members.subscribe(), Origin::Static),
        service: "kamaitachi-slave".into(),
        token: token.map(SecretString::from),
    }
}

/// A wire to `master` that passes what the master says only while it is open.
async fn wire(master: String) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, (open, seen)) = (listener.local_addr().unwrap(), watch::channel(true));
    tokio::spawn(async move {
        while let Ok((slave, _)) = listener.accept().await {
            let (master, mut open) = (master.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(master) = TcpStream::connect(master).await else { return };
                let (mut from_slave, mut to_slave) = slave.into_split();
                let (mut from_master, mut to_master) = master.into_split();
                // Either end may go first.
                tokio::spawn(async move { copy(&mut from_slave, &mut to_master).await });
                let mut bytes = vec![0; 4096];
                while let Ok(count @ 1..) = from_master.read(&mut bytes).await {
                    if open.wait_for(|open| *open).await.is_err()
                        || to_slave.write_all(&bytes[..count]).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (at.to_string(), open)
}

/// A master and a slave that know of each other, and the wire between them.
pub(crate) struct Pair {
    pub(crate) master: Running,
    pub(crate) slave: Running,
    wire: watch::Sender<bool>,
}

pub(crate) async fn pair(token: Option<&str>) -> Pair {
    let members = members();
    let master = Running::with(|config| config.subjects = Some(settings(&members, token))).await;
    let (at, wire) = wire(addr(&master).await).await;
    let slave = slave_with(&at, directory(), |config| {
        config.subjects = Some(settings(&members, token));
        config.replication.timeout = super::PATIENCE;
    });
    let slave = slave.await;
    members.send_replace([addr(&slave).await.parse().unwrap()].into());
    Pair { master, slave, wire }
}

impl Pair {
    async fn write(&self, subject: &str, value: i32) {
        self.master.client.ingest(&[row(subject, Q1, json!({"net_profit": value}))]).await;
    }

    /// Who asks the slave gets this, and so.
    async fn expect(&self, subject: &str, value: i32, cache: &str) {
        let answer = ask(&self.slave, subject).await;
        let found = answer.header("x-kamaitachi-cache").unwrap().to_owned();
        let value = json!(f64::from(value));
        assert_eq!((&answer.data()[0]["data"]["net_profit"], &*found), (&value, cache));
    }
}

async fn ask(node: &Running, subject: &str) -> Answer {
    node.client.post(SNAPSHOT, &json!({"subjects": subject, "ids": "net_profit"})).await
}

/// A number among the metrics of a node; `None` if it is not there.
async fn metric(node: &Running, name: &str) -> Option<u64> {
    let text = String::from_utf8(node.client.get("/metrics").await.body.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|number| number.parse().unwrap())
}

async fn heard(node: &Running, outcome: &str) -> u64 {
    let name = format!("kamaitachi_subjects_deletes_heard_total{{outcome=\"{outcome}\"}}");
    metric(node, &name).await.unwrap()
}

/// Waits until a master's slave has acknowledged so many deletes.
async fn acknowledged(master: &Running, deletes: u64) {
    let labels = "group=\"subjects\",strategy=\"broadcast\",outcome=\"acknowledged\"";
    let name = format!("kamaitachi_group_peer_sync_total{{{labels}}}");
    until("all was acknowledged", async || metric(master, &name).await == Some(deletes)).await;
}

async fn channel(node: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", addr(node).await)).unwrap().connect().await.unwrap()
}

/// Tells a node what a peer would.
async fn tell(node: &Running, kind: Kind, mark: Option<(&str, u64)>) -> Result<Outcome, Status> {
    tell_of("33:000001", node, kind, mark).await
}

/// Tells a node of a write that has come, comes, or never does: `ahead` of where its store is.
pub(crate) async fn foretell(subject: &str, node: &Running, ahead: i64) {
    let mark = store(node).mark();
    let revision = mark.revision.saturating_add_signed(ahead);
    tell_of(subject, node, Kind::Delete, Some((&mark.lineage, revision))).await.unwrap();
}

async fn tell_of(
    subject: &str,
    node: &Running,
    kind: Kind,
    mark: Option<(&str, u64)>,
) -> Result<Outcome, Status> {
    let write = Write {
        group: GROUP.into(),
        kind: kind.into(),
        key: subject.into(),
        version: Some(Version { time: 1, node: 1 }),
        mark: mark.map(|(lineage, revision)| Mark { lineage: lineage.into(), revision }),
        ..Default::default()
    };
    let mut client = SyncClient::new(channel(node).await);
    let applied = client.apply(ApplyRequest { writes: vec![write] }).await?.into_inner();
    Ok(applied.outcomes().next().unwrap())
}

#[tokio::test]
async fn a_write_at_the_master_drops_what_a_slave_remembers_though_replication_is_held_up() {
    let pair = pair(Some("open-sesame")).await;
    for (subject, value) in [("33:000001", 1), ("33:000002", 2)] {
        pair.write(subject, value).await;
    }
    in_step(&pair.master, &pair.slave).await;
    // Of writes that follow each other closely the last alone is told.
    acknowledged(&pair.master, 2).await;
    for (subject, value) in [("33:000001", 1), ("33:000002", 2)] {
        pair.expect(subject, value, "miss").await;
        pair.expect(subject, value, "hit").await;
    }
    pair.wire.send_replace(false);
    pair.write("33:000001", 7).await;
    let (master, slave) = (&pair.master, &pair.slave);
    until("the slave has heard of the write", async || heard(slave, "dropped").await == 1).await;
    assert_eq!(metric(slave, "kamaitachi_subjects_foretold").await, Some(1));
    for _ in 0..3 {
        // The old is right here as yet, and not worth keeping.
        pair.expect("33:000001", 1, "miss").await;
        pair.expect("33:000002", 2, "hit").await;
    }
    pair.wire.send_replace(true);
    in_step(master, slave).await;
    until("it waits for nothing", async || {
        metric(slave, "kamaitachi_subjects_foretold").await == Some(0)
    })
    .await;
    pair.expect("33:000001", 7, "miss").await;
    pair.expect("33:000001", 7, "hit").await;
    pair.expect("33:000002", 2, "hit").await;
    let sent = "kamaitachi_subjects_deletes_sent_total{way=\"group\"}";
    assert_eq!(metric(master, sent).await, Some(3));
    acknowledged(master, 3).await;
    end_equal(pair.master, pair.slave).await;
}

#[tokio::test]
async fn what_is_late_repeated_or_of_another_history_changes_nothing() {
    let pair = pair(None).await;
    for value in 1..=5 {
        pair.write("33:000001", value).await;
    }
    let (master, slave) = (&pair.master, &pair.slave);
    in_step(master, slave).await;
    pair.expect("33:000001", 5, "miss").await;
    let mark = store(slave).mark();
    let (lineage, now) = (&*mark.lineage, mark.revision);
    for late in [now, 1, now - 1, now] {
        assert_eq!(tell(slave, Kind::Delete, Some((lineage, late))).await.unwrap(), Outcome::Old);
    }
    for stranger in [("", now + 1), ("0af", now + 1)] {
        assert_eq!(tell(slave, Kind::Delete, Some(stranger)).await.unwrap(), Outcome::Old);
    }
    assert_eq!(tell(slave, Kind::Set, None).await.unwrap(), Outcome::Refused);
    assert_eq!(heard(slave, "other_history").await, 2);
    pair.expect("33:000001", 5, "hit").await;
    let ahead = Some((lineage, now + 1));
    assert_eq!(tell(slave, Kind::Delete, ahead).await.unwrap(), Outcome::Applied);
    assert_eq!(tell(slave, Kind::Delete, ahead).await.unwrap(), Outcome::Old, "again");
    pair.expect("33:000001", 5, "miss").await;
    pair.expect("33:000001", 5, "miss").await;
    // A subject that was not foretold is remembered; the write that comes then ends the wait.
    pair.write("33:000002", 1).await;
    in_step(master, slave).await;
    pair.expect("33:000001", 5, "miss").await;
    pair.expect("33:000001", 5, "hit").await;
    end_equal(pair.master, pair.slave).await;
}

#[tokio::test]
async fn only_who_knows_the_token_and_came_straight_is_a_peer() {
    let pair = pair(Some("open-sesame")).await;
    let slave = &pair.slave;
    pair.write("33:000001", 1).await;
    in_step(&pair.master, slave).await;
    pair.expect("33:000001", 1, "miss").await;
    let show = async |field: &'static str, value: &str| {
        let mut request = Request::new(proto::ClearRequest::default());
        request.metadata_mut().insert(field, value.parse().unwrap());
        CacheClient::new(channel(slave).await).clear(request).await.map(drop)
    };
    let refused = show("authorization", "Bearer open-sesama").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(show("x-other", "1").await.unwrap_err().code(), Code::Unauthenticated);
    let untold = tell(slave, Kind::Delete, None).await.unwrap_err();
    assert_eq!(untold.code(), Code::Unauthenticated);
    // A proxy found nothing there, and neither does who speaks HTTP/1.
    for proxied in ["via", "x-forwarded-for", "forwarded"] {
        let mut request = Request::new(proto::ClearRequest::default());
        let fields = request.metadata_mut();
        fields.insert("authorization", "Bearer open-sesame".parse().unwrap());
        fields.insert(proxied, "1.1 somebody".parse().unwrap());
        let refused = CacheClient::new(channel(slave).await).clear(request).await.unwrap_err();
        assert!(refused.message().contains("404 Not Found"), "{refused}");
    }
    let path = "/kamaitachi.group.v1.Cache/Clear";
    slave.client.post(path, &json!({})).await.refused(404, &["no such path"]);
    pair.expect("33:000001", 1, "hit").await;
    show("authorization", "Bearer open-sesame").await.unwrap();
    pair.expect("33:000001", 1, "miss").await;
}

#[tokio::test]
async fn whoever_uses_the_group_sees_what_is_remembered_and_deletes_it_everywhere() {
    let pair = pair(None).await;
    pair.write("33:000001", 1).await;
    pair.write("33:000002", 2).await;
    in_step(&pair.master, &pair.slave).await;
    pair.expect("33:000001", 1, "miss").await;
    let mut at_slave = CacheClient::new(channel(&pair.slave).await);
    let scan = proto::ScanRequest::default();
    let page = at_slave.scan(scan).await.unwrap().into_inner();
    let keys: Vec<_> = page.keys.iter().map(|key| &*key.key).collect();
    assert_eq!(keys, ["33:000001"]);
    let get = proto::GetRequest { key: "33:000001".into(), ..Default::default() };
    let value = at_slave.get(get.clone()).await.unwrap().into_inner().value.unwrap();
    let value: Value = serde_json::from_slice(&value).unwrap();
    assert_eq!(value["subject"]["subject"], "33:000001");
    let set = proto::SetRequest { key: "33:000001".into(), ..Default::default() };
    assert_eq!(at_slave.set(set).await.unwrap_err().code(), Code::FailedPrecondition);
    // The master hears it, and its slave acknowledges.
    let mut at_master = CacheClient::new(channel(&pair.master).await);
    let wait = proto::Wait::All.into();
    let delete = proto::DeleteRequest { key: "33:000001".into(), wait, ..Default::default() };
    let deleted = at_master.delete(delete).await.unwrap().into_inner();
    assert_eq!((deleted.asked, deleted.acknowledged, deleted.satisfied), (1, 1, true));
    assert_eq!(at_slave.get(get).await.unwrap().into_inner().value, None);
    let stats = at_slave.stats(proto::StatsRequest::default()).await.unwrap().into_inner();
    assert_eq!((stats.group.as_str(), stats.entries), (GROUP, 0));
    // Neither is anything foretold by it: the next answer is remembered.
    pair.expect("33:000001", 1, "miss").await;
    pair.expect("33:000001", 1, "hit").await;
}

#[tokio::test]
async fn who_watches_does_not_hold_up_a_node_that_stops() {
    let pair = pair(None).await;
    let mut watching = CacheClient::new(channel(&pair.slave).await);
    let changes = watching.watch(proto::WatchRequest::default()).await.unwrap();
    let mut changes = changes.into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().kind(), proto::change::Kind::Ready);
    pair.write("33:000001", 1).await;
    in_step(&pair.master, &pair.slave).await;
    foretell("33:000009", &pair.slave, 1).await;
    // Of the write it may have known already.
    let mut keys = Vec::new();
    while keys.last().is_none_or(|key| key != "33:000009") {
        let change = changes.message().await.unwrap().unwrap();
        assert_eq!((change.kind(), change.from_peer), (proto::change::Kind::Delete, true));
        keys.push(change.key);
    }
    let drained = pair.slave.node.drain(tokio::time::sleep(super::PATIENCE)).await;
    assert_eq!(drained.cut, 0);
    assert_eq!(changes.message().await.unwrap(), None, "the stream has ended well");
}

#[tokio::test]
async fn a_write_of_very_many_subjects_is_left_to_replication() {
    let pair = pair(None).await;
    let rows = |value: i32| -> Vec<Value> {
        let one = |n| row(&format!("33:{n:06}"), Q1, json!({"net_profit": value}));
        (0..9_000).map(one).collect()
    };
    pair.master.client.ingest(&rows(1)).await;
    in_step(&pair.master, &pair.slave).await;
    pair.expect("33:000001", 1, "miss").await;
    pair.master.client.ingest(&rows(2)).await;
    in_step(&pair.master, &pair.slave).await;
    pair.expect("33:000001", 2, "miss").await;
    let left = "kamaitachi_subjects_deletes_sent_total{way=\"replication\"}";
    assert_eq!(metric(&pair.master, left).await, Some(18_000));
    assert_eq!(heard(&pair.slave, "dropped").await + heard(&pair.slave, "old").await, 0);
    end_equal(pair.master, pair.slave).await;
}

#[tokio::test]
async fn a_node_without_peers_has_no_group() {
    let node = Running::master().await;
    node.client.ingest(&[row("33:000001", Q1, json!({"net_profit": 1}))]).await;
    let metrics = String::from_utf8(node.client.get("/metrics").await.body.to_vec()).unwrap();
    assert!(!metrics.contains("kamaitachi_group_") && !metrics.contains("kamaitachi_subjects_"));
    let refused = tell(&node, Kind::Delete, None).await.unwrap_err();
    assert!(refused.message().contains("404 Not Found"), "{refused}");
    let path = "/kamaitachi.group.v1.Sync/Ping";
    let request = node.client.request(Method::POST, path).body(Full::new(Bytes::new())).unwrap();
    node.client.send(request).await.refused(404, &["no such path"]);
}

#[tokio::test]
async fn members_are_those_that_etcd_knows() {
    let etcd = Etcd::start().await;
    let with_etcd = |config: &mut kamaitachi_node::config::Config| {
        config.etcd = Some(etcd.settings());
        config.server.leave_wait = std::time::Duration::ZERO;
        config.subjects = Some(Settings {
            nodes: Found::fixed(Vec::new()),
            service: "kamaitachi-slave".into(),
            token: None,
        });
    };
    let master = Running::with(with_etcd).await;
    let slave = slave_with(&addr(&master).await, directory(), with_etcd).await;
    let alive = "kamaitachi_group_peers{state=\"alive\"}";
    until("the master knows the slave", async || metric(&master, alive).await == Some(1)).await;
    master.client.ingest(&[row("33:000001", Q1, json!({"net_profit": 1}))]).await;
    until("the slave hears of a write", async || {
        heard(&slave, "marked").await + heard(&slave, "old").await == 1
    })
    .await;
    slave.stop().await;
    until("the slave is gone", async || metric(&master, alive).await == Some(0)).await;
    let none = "kamaitachi_group_peers{state=\"ejected\"}";
    assert_eq!(metric(&master, none).await, Some(0), "who leaves is no member any more");
}
