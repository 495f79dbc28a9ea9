//! Nodes on copies of the same data, and a gateway in front of them.
use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use kamaitachi_gateway::{
    config,
    gateway::{Gateway, Running},
};
use kamaitachi_node::{
    Node,
    config::{Config, Role},
    sample::{self, SampleOptions},
};
use kamaitachi_serve::{config::Env, shutdown::Drain};

use crate::Options;

/// A database for each node, and the subjects in it.
pub(crate) struct Data {
    databases: Vec<PathBuf>,
    pub(crate) subjects: Vec<Arc<str>>,
    _dir: tempfile::TempDir,
}

impl Data {
    pub(crate) async fn make(options: Options) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let databases: Vec<PathBuf> =
            (0..options.nodes).map(|number| dir.path().join(format!("{number}.db"))).collect();
        let first = &databases[0];
        let sample = SampleOptions { stocks: options.stocks, ..SampleOptions::new(first) };
        sample::generate(&sample, |_, _| {}).map_err(io::Error::other)?;
        for other in &databases[1..] {
            fs::copy(first, other)?;
        }
        let node = start(first.clone(), 1 << 20).await?;
        let core = node.app().core().ok_or_else(|| io::Error::other("the node is not open"))?;
        let found = core.store.topic_members("stock_a_listing_pool").await;
        let (_, subjects) = found.map_err(io::Error::other)?;
        Ok(Self { databases, subjects, _dir: dir })
    }
}

async fn start(database: PathBuf, room: usize) -> io::Result<Node> {
    let mut config = Config::embedded(Role::Master, database);
    config.server.workers = Some(1);
    config.cache.max_bytes = room;
    config.cache.snapshots.interval = None;
    Node::start(config).await.map_err(io::Error::other)
}

/// What the caches of all nodes hold, and how often that was enough.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) subject_hits: u64,
    pub(crate) subject_misses: u64,
}

/// A cluster that knows nothing yet. Dropped, not drained: what it knew must not help the next one.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    gateway: Running,
}

impl Cluster {
    pub(crate) async fn start(data: &Data, locality: &str, room: usize) -> io::Result<Self> {
        let mut nodes = Vec::new();
        for database in &data.databases {
            nodes.push(start(database.clone(), room).await?);
        }
        let addrs: Vec<_> = nodes.iter().map(|node| node.local_addr().to_string()).collect();
        let env = [
            ("UPSTREAM__NODES", addrs.join(",")),
            ("SERVER__PORT", "0".to_owned()),
            ("SERVER__WORKERS", "1".to_owned()),
            ("ADMIN__PORT", "0".to_owned()),
            ("RATE_LIMIT__ENABLED", "false".to_owned()),
            ("ROUTES__SNAPSHOT__LOCALITY", locality.to_owned()),
            ("ROUTES__PERIOD__LOCALITY", locality.to_owned()),
        ];
        let env = env.map(|(key, value)| (format!("{}{key}", Env::PREFIX), value));
        let config = config::load(None, &Env::from_pairs(env)).map_err(io::Error::other)?;
        let gateway = Gateway::bind(config, Drain::new())?.start()?;
        Ok(Self { nodes, gateway })
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway.local_addr()
    }

    pub(crate) fn held(&self) -> Held {
        let cores = self.nodes.iter().filter_map(|node| node.app().core());
        cores.map(|core| core.engine.stats()).fold(Held::default(), |sum, stats| Held {
            bytes: sum.bytes + stats.bytes,
            entries: sum.entries + stats.entries,
            subject_hits: sum.subject_hits + stats.subject_hits,
            subject_misses: sum.subject_misses + stats.subject_misses,
        })
    }
}
