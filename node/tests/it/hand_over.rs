//! What nodes tell each other when one joins or leaves the ring.

use std::{fs, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use kamaitachi_discovery::{Found, NodeAddr, Origin};
use kamaitachi_node::{config::Config, hand_over::Settings};
use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Ring, Spread};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::support::{Answer, Q1, Q4, Running, SNAPSHOT, STATS, row};

const PULL: &str = "/internal/cache/pull";
const PUSH: &str = "/internal/cache/push";
pub(crate) const SUBJECTS: usize = 60;

type Members = watch::Sender<Arc<[NodeAddr]>>;

pub(crate) fn subject(number: usize) -> String {
    format!("33:{number:06}")
}

/// Generous, so that a busy machine does not fail a test.
pub(crate) fn settings(nodes: watch::Receiver<Arc<[NodeAddr]>>) -> Settings {
    Settings {
        nodes: Found::following(nodes, Origin::Static),
        service: "kamaitachi-slave".into(),
        replicas: DEFAULT_REPLICAS,
        spread: Spread::Plain,
        max_bytes: 64 << 20,
        time: Duration::from_secs(20),
        token: None,
    }
}

/// Nodes of one history, each with its own copy of the file; who is added is told of the others.
struct Cluster {
    members: Members,
    seed: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        let running = Running::master().await;
        let rows: Vec<Value> = (0..SUBJECTS)
            .flat_map(|n| [Q1, Q4].map(|date| row(&subject(n), date, json!({"net_profit": n}))))
            .collect();
        running.client.ingest(&rows).await;
        Self { members: watch::channel(Vec::new().into()).0, seed: running.stop().await }
    }

    /// A copy of the file in a directory of its own.
    fn copy(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["node.db", "node.db-wal"] {
            let from = self.seed.path().join(name);
            if from.exists() {
                fs::copy(from, dir.path().join(name)).unwrap();
            }
        }
        dir
    }

    async fn add_within(
        &self,
        dir: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
    ) -> Running {
        let node = Running::within(dir, |config| {
            config.peers = Some(settings(self.members.subscribe()));
            change(config);
        })
        .await;
        self.members.send_modify(|members| {
            let own = node.node.local_addr().to_string().parse().unwrap();
            *members = members.iter().cloned().chain([own]).collect();
        });
        node
    }

    async fn add(&self) -> Running {
        self.add_within(self.copy(), |_| {}).await
    }
}

pub(crate) async fn ask(node: &Running, subject: &str) -> Answer {
    let body = json!({"subjects": subject, "ids": "net_profit"});
    node.client.post(SNAPSHOT, &body).await
}

pub(crate) fn cache(answer: &Answer) -> &str {
    answer.header("x-kamaitachi-cache").unwrap()
}

pub(crate) async fn entries(node: &Running) -> u64 {
    node.client.get(STATS).await.data()["cache"]["entries"].as_u64().unwrap()
}

fn addr(node: &Running) -> String {
    node.node.local_addr().to_string()
}

pub(crate) fn owned<'a>(ring: &'a [&'a Running], by: &Running) -> Vec<String> {
    let ring = Ring::new(ring.iter().map(|node| addr(node)), DEFAULT_REPLICAS, Spread::Plain);
    let owner = |subject: &String| ring.name(ring.owner(subject.as_bytes()).unwrap()).unwrap();
    (0..SUBJECTS).map(subject).filter(|subject| owner(subject) == addr(by)).collect()
}

/// Asks each of two nodes for what is its own.
async fn warm(ring: &[&Running]) {
    for node in ring {
        for subject in owned(ring, node) {
            assert_eq!(cache(&ask(node, &subject).await), "miss");
        }
    }
}

#[tokio::test]
async fn a_node_that_joins_knows_what_it_owns_before_it_is_asked() {
    let cluster = Cluster::new().await;
    let (one, two) = (cluster.add().await, cluster.add().await);
    warm(&[&one, &two]).await;
    let three = cluster.add().await;
    let own = owned(&[&one, &two, &three], &three);
    assert!(!own.is_empty());
    assert_eq!(entries(&three).await, own.len() as u64, "and nothing else");
    for subject in &own {
        let answer = ask(&three, subject).await;
        assert_eq!(cache(&answer), "hit", "{subject}");
        assert_eq!(answer.data(), ask(&one, subject).await.data());
    }
    let metrics = String::from_utf8(three.client.get("/metrics").await.body.to_vec()).unwrap();
    let line = format!("kamaitachi_hand_over_subjects_total{{outcome=\"taken\"}} {}", own.len());
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn a_node_that_leaves_leaves_what_it_knew_to_those_who_own_it_then() {
    let cluster = Cluster::new().await;
    let (one, two) = (cluster.add().await, cluster.add().await);
    let three = cluster.add().await;
    warm(&[&one, &two, &three]).await;
    let left = owned(&[&one, &two, &three], &three);
    three.stop().await;
    for heir in [&one, &two] {
        for subject in owned(&[&one, &two], heir).iter().filter(|s| left.contains(s)) {
            assert_eq!(cache(&ask(heir, subject).await), "hit", "{subject}");
        }
    }
}

#[tokio::test]
async fn what_the_new_owner_has_written_since_is_never_taken_from_the_former_one() {
    let cluster = Cluster::new().await;
    let one = cluster.add().await;
    warm(&[&one]).await;
    // Further in the same history.
    let ahead = Running::within(cluster.copy(), |_| {}).await;
    for number in 0..SUBJECTS / 2 {
        let newer = row(&subject(number), Q4, json!({"net_profit": -1}));
        ahead.client.ingest(&[newer]).await;
    }
    let two = cluster.add_within(ahead.stop().await, |config| {
        // Its own snapshot file knows nothing.
        config.cache.snapshots.files.dir = config.database.path.with_extension("none");
    });
    let two = two.await;
    let mut hits = 0;
    for number in 0..SUBJECTS {
        let answer = ask(&two, &subject(number)).await;
        hits += usize::from(cache(&answer) == "hit");
        let wanted = if number < SUBJECTS / 2 { -1 } else { i32::try_from(number).unwrap() };
        assert_eq!(answer.data()[0]["data"]["net_profit"], json!(f64::from(wanted)), "{number}");
    }
    let own = owned(&[&one, &two], &two);
    let unchanged = own.iter().filter(|own| **own >= subject(SUBJECTS / 2)).count();
    assert!(unchanged > 0);
    assert_eq!(hits, unchanged);
}

#[tokio::test]
async fn a_node_of_another_history_takes_nothing_though_the_revisions_agree() {
    let cluster = Cluster::new().await;
    let one = cluster.add().await;
    warm(&[&one]).await;
    let other = Cluster::new().await;
    let two = cluster.add_within(other.copy(), |_| {}).await;
    assert_eq!(entries(&two).await, 0);
}

#[tokio::test]
async fn peers_that_are_dead_or_hang_cost_the_time_that_is_given_and_no_more() {
    let cluster = Cluster::new().await;
    let one = cluster.add().await;
    warm(&[&one]).await;
    let join = |addr: std::net::SocketAddr| {
        cluster.members.send_modify(|members| {
            let more = [addr.to_string().parse().unwrap()];
            *members = members.iter().cloned().chain(more).collect();
        });
    };
    let start = |time| {
        cluster.add_within(cluster.copy(), move |config| config.peers.as_mut().unwrap().time = time)
    };
    join(TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    let two = start(Duration::from_secs(20)).await;
    assert!(entries(&two).await > 0, "what could be had was taken");
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    join(hangs.local_addr().unwrap());
    // Who joins and who leaves waits for it no longer than that; the limit here is for ever.
    let stuck = Duration::from_secs(60);
    let three = tokio::time::timeout(stuck, start(Duration::from_millis(300))).await.unwrap();
    assert_eq!(ask(&three, &subject(1)).await.data()[0]["data"]["net_profit"], json!(1.0));
    tokio::time::timeout(stuck, three.stop()).await.unwrap();
}

/// A parcel for `node`, and the header that says which history it is from.
async fn parcel(from: &Running, node: &str) -> (Bytes, String) {
    let wanted = json!({"node": node, "nodes": [node], "bytes": 1 << 20});
    let answer = from.client.post(PULL, &wanted).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    (answer.body.clone(), answer.header("x-kamaitachi-history").unwrap().to_owned())
}

fn push(to: &Running, parcel: Bytes, history: &str) -> Request<Full<Bytes>> {
    let request = to.client.request(Method::POST, PUSH).header("x-kamaitachi-history", history);
    request.body(Full::new(parcel)).unwrap()
}

#[tokio::test]
async fn a_parcel_that_is_damaged_anywhere_is_refused_whole() {
    let cluster = Cluster::new().await;
    let one = cluster.add().await;
    warm(&[&one]).await;
    let (good, history) = parcel(&one, "a:1").await;
    let two = Running::within(cluster.copy(), |config| {
        config.peers = Some(settings(watch::channel(Vec::new().into()).1));
    })
    .await;
    let flips = (0..good.len()).step_by(7);
    let cuts = (0..good.len()).step_by(11).map(|len| good[..len].to_vec());
    let flipped = flips.map(|at| {
        let mut bad = good.to_vec();
        bad[at] ^= 0x20;
        bad
    });
    for bad in flipped.chain(cuts) {
        let answer = two.client.send(push(&two, bad.into(), &history)).await;
        assert_eq!(answer.status, 400, "{:?}", answer.body);
    }
    for history in ["", "x", "0123 1 7"] {
        let answer = two.client.send(push(&two, good.clone(), history)).await;
        assert_eq!(answer.status, 400, "{:?}", answer.body);
    }
    assert_eq!(entries(&two).await, 0);
    assert_eq!(two.client.send(push(&two, good, &history)).await.status, 200);
    assert_eq!(entries(&two).await, SUBJECTS as u64);
}

#[tokio::test]
async fn nobody_but_a_peer_finds_anything_there() {
    let cluster = Cluster::new().await;
    let wanted = json!({"node": "a:1", "nodes": ["a:1"], "bytes": 1 << 20});
    let alone = Running::within(cluster.copy(), |_| {}).await;
    alone.client.post(PULL, &wanted).await.refused(404, &["no such path"]);
    let one = cluster.add().await;
    assert_eq!(one.client.post(PULL, &wanted).await.status, 200);
    for proxied in ["via", "x-forwarded-for"] {
        let request = one.client.request(Method::POST, PULL).header(proxied, "1.1 somebody");
        let body = Full::new(Bytes::from(wanted.to_string()));
        one.client.send(request.body(body).unwrap()).await.refused(404, &["no such path"]);
    }
    one.client.post(PULL, &json!({"node": "a:1", "nodes": [], "bytes": 1})).await.refused(400, &[]);
    one.client.post(PULL, &json!([])).await.refused(400, &["expected"]);
    one.client.get(PULL).await.refused(405, &[]);
}
