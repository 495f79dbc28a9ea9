//! The embedded cluster: a master, slaves and the gateway in one process, on generated data.

mod data;
mod guide;

use std::{io, path::PathBuf, sync::Arc};

use clap::Args;
use futures_util::future::select_all;
use kamaitachi_discovery::{Found, Membership, Origin};
use kamaitachi_node::{
    Node,
    config::{Config as NodeConfig, Role},
    subjects,
};
use kamaitachi_serve::{config::Env, exit::Failure, logs, shutdown::Drain};
use tokio::{runtime::Runtime, sync::watch, task::JoinSet};

use crate::{
    config,
    gateway::{Gateway, Running, runtime},
};

/// What kind of cluster.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Slaves, the nodes that answer queries
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Companies in the generated data
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(8..=250_000))]
    stocks: u32,
    /// Folder of the databases; what a demo made there before is served again
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    dir: PathBuf,
    /// Port of the gateway; 0 takes a free one
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Port of the gateway's admin listener; 0 takes a free one
    #[arg(long, default_value_t = 9901)]
    admin_port: u16,
    /// Port of the master, the slaves take the next ones; 0 takes free ones
    #[arg(long, default_value_t = 8080)]
    node_port: u16,
    /// Lift the rate limits, to measure
    #[arg(long)]
    lift_limits: bool,
}

/// Runs the cluster until a signal comes, then drains it: the gateway first, then the nodes.
///
/// # Errors
///
/// The data can't be made, or a port is taken; the message says which.
pub fn main(args: &DemoArgs) -> Result<(), Failure> {
    // The guide is what a newcomer should see; RUST_LOG shows more.
    logs::init("warn", logs::LogFormat::Auto).map_err(Failure::usage)?;
    let made = data::prepare(&args.dir, args.stocks)?;
    let runtime: Runtime = runtime()?;
    runtime.block_on(async {
        let drain = Drain::on_signals()?;
        let cluster = tokio::select! {
            cluster = Cluster::start(args, &made, drain.clone()) => cluster?,
            () = drain.requested() => return Ok(()),
        };
        guide::print(&cluster.addresses(), &made)?;
        cluster.serve(drain).await
    })
}

/// The nodes and the gateway, running.
struct Cluster {
    master: Node,
    slaves: Vec<Node>,
    gateway: Running,
}

impl Cluster {
    async fn start(args: &DemoArgs, made: &data::Made, drain: Drain) -> Result<Self, Failure> {
        let port = |number: u16| match args.node_port {
            0 => Ok(0),
            first => first.checked_add(number).ok_or_else(|| {
                Failure::usage(format!(
                    "--node-port {first} leaves no room for {number} more ports"
                ))
            }),
        };
        let (known, members) = watch::channel(Arc::from([]));
        let master = node(Role::Master, made.master(), port(0)?, &members).await?;
        let addr = master.local_addr().to_string();
        let mut slaves = Vec::new();
        for number in 1..=args.nodes {
            let role = Role::Slave { master: Some(addr.clone()) };
            slaves.push(node(role, made.slave(number), port(number)?, &members).await?);
        }
        let nodes: Vec<_> = slaves.iter().map(|slave| slave.local_addr().to_string()).collect();
        known.send_replace(nodes.iter().filter_map(|node| node.parse().ok()).collect());
        let config = config::load(None, &environment(args, &addr, &nodes.join(",")))?;
        let gateway = Gateway::bind(config, drain)?.start()?;
        Ok(Self { master, slaves, gateway })
    }

    fn addresses(&self) -> guide::Addresses {
        guide::Addresses {
            gateway: self.gateway.local_addr(),
            admin: self.gateway.admin_addr(),
            master: self.master.local_addr(),
            slaves: self.slaves.iter().map(Node::local_addr).collect(),
        }
    }

    async fn serve(self, drain: Drain) -> Result<(), Failure> {
        let mut nodes: Vec<_> = self.slaves.into_iter().chain([self.master]).collect();
        let served = {
            let failed = nodes.iter_mut().map(|node| Box::pin(node.failed()));
            tokio::select! {
                served = self.gateway.serve() => served.map(drop),
                _ = select_all(failed) => Err(io::Error::other("a node failed; see the log")),
            }
        };
        let mut drains = JoinSet::new();
        for node in nodes {
            let drain = drain.clone();
            drains.spawn(async move {
                // The gateway is gone, so whatever is left is somebody who asked a node directly.
                let enough = tokio::time::sleep(std::time::Duration::from_secs(5));
                let cut = async {
                    tokio::select! { () = enough => {}, () = drain.stopped() => {} }
                };
                node.drain(cut).await
            });
        }
        drains.join_all().await;
        Ok(served?)
    }
}

/// A node that is in the group of the subjects with `slaves`.
async fn node(
    role: Role,
    database: PathBuf,
    port: u16,
    slaves: &Membership,
) -> Result<Node, Failure> {
    let mut config = NodeConfig::embedded(role, database);
    config.server.port = port;
    config.subjects = Some(subjects::Settings {
        nodes: Found::following(slaves.clone(), Origin::Static),
        service: "kamaitachi-slave".into(),
        token: None,
    });
    Node::start(config).await.map_err(Failure::failed)
}

/// The key that lifts the rate limits of the embedded cluster, which is on loopback and holds made-up data: the load
/// harness sends it unless told otherwise. Other gateways have no such key by default.
const LIMIT_KEY: &str = "kamaitachi-embedded-cluster";

/// The environment of the process, and in it what makes a gateway this cluster's.
fn environment(args: &DemoArgs, master: &str, nodes: &str) -> Env {
    let ours = [
        ("UPSTREAM__NODES", nodes.to_owned()),
        ("UPSTREAM__MASTER", master.to_owned()),
        ("SERVER__PORT", args.port.to_string()),
        ("ADMIN__PORT", args.admin_port.to_string()),
        ("RATE_LIMIT__ENABLED", (!args.lift_limits).to_string()),
        ("RATE_LIMIT__EXEMPT_KEY", LIMIT_KEY.to_owned()),
    ]
    .map(|(key, value)| (format!("{}{key}", Env::PREFIX), value));
    let theirs = std::env::vars().filter(|(name, _)| !ours.iter().any(|(key, _)| key == name));
    Env::from_pairs(theirs.collect::<Vec<_>>().into_iter().chain(ours.clone()))
}
