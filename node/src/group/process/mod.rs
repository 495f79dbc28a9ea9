//! A group server as a process: listening → registered → peers seen → ready, each step logged; and
//! back again, deregistered first.

mod admin;
mod doctor;
#[cfg(test)]
mod tests;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use kamaitachi_discovery::{
    Found, NodeAddr, follow,
    register::{Registration, Service},
};
use kamaitachi_serve::server::Handle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    Bound, Group, GroupServer, InvalidPeers, PeerOptions, Peers, ServerError, ServerOptions,
    config::Config,
};

pub use admin::Readiness;
pub use doctor::{Finding, examine};
pub use tls::TlsError;

/// How long a start waits for etcd before it goes on, and registers when etcd is there.
const REGISTERED: Duration = Duration::from_secs(10);
/// How long it waits to see itself, and then the others, before it says what it sees.
const SEEN: Duration = Duration::from_secs(3);

/// A running group server: its groups, its peers, its registration.
///
/// Dropping it stops it at once; [`drain`](Self::drain) is the way out.
#[derive(Debug)]
pub struct Process {
    groups: Vec<Group<Bytes>>,
    peers: Peers,
    server: GroupServer,
    registration: Option<Registration>,
    _found: Found,
    admin: Option<Handle>,
    readiness: Readiness,
}

/// Why a group server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address it listens on is none that others could reach.
    #[error("server.service_addr: {0}")]
    Address(#[from] kamaitachi_discovery::InvalidNodeAddr),
    /// A certificate or key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token can't be sent.
    #[error(transparent)]
    Peers(#[from] InvalidPeers),
    /// The server can't be made.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl Process {
    /// Starts a server and returns once it is ready: it serves, is registered where there is an
    /// etcd that answers, and sees its peers.
    ///
    /// An etcd that does not answer is waited for, 10 s at the most; the registration then comes
    /// when etcd does. Dropping the future takes everything back.
    ///
    /// # Errors
    /// An address is taken, or certificate, key or token can't be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let refused = |source| StartError::Listen { address: config.listen, source };
        let bound = Bound::bind(config.listen).await.map_err(refused)?;
        let me = match &config.service_addr {
            Some(addr) => addr.clone(),
            None => bound.local_addr().to_string().parse()?,
        };
        info!(
            address = %bound.local_addr(), service_addr = %me, service = config.service,
            "listening"
        );
        let (client_tls, server_tls) = tls::both(config.security.tls.as_ref()).await?;
        let found = find(&config);
        let options = PeerOptions {
            token: config.security.token.clone(),
            tls: client_tls,
            ..config.peers.clone()
        };
        let peers = Peers::new(me.as_str(), found.members(), options)?;
        let groups: Vec<_> = config.names.iter().map(|name| group(name, &config, &peers)).collect();
        let readiness = Readiness::default();
        let admin = admin(&config, &peers, &readiness)?;
        let options = ServerOptions { token: config.security.token.clone(), tls: server_tls };
        let server = GroupServer::start(bound, &peers, options).await?;
        // Only what serves is registered.
        let registration = register(&config, &me).await;
        see_peers(&peers, config.etcd.is_some()).await;
        readiness.set(true);
        info!(
            address = %server.local_addr(), service_addr = %me, service = config.service,
            groups = ?config.names, strategy = config.strategy.name(),
            peers = peers.others().len(), "ready"
        );
        Ok(Self { groups, peers, server, registration, _found: found, admin, readiness })
    }

    /// The address it listens on for gRPC, with the port that 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where it tells metrics and health, if it does.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Handle::local_addr)
    }

    /// Its groups.
    #[must_use]
    pub fn groups(&self) -> &[Group<Bytes>] {
        &self.groups
    }

    /// Its peers.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Resolves when the server ends that was not told to. Cancel safe.
    pub async fn failed(&mut self) {
        self.server.failed().await;
    }

    /// Stops: deregisters, stops accepting, and finishes what is under way for `at_most` so long.
    /// Says whether all of it was finished.
    pub async fn drain(self, at_most: Duration) -> bool {
        self.readiness.set(false);
        if let Some(registration) = self.registration {
            let confirmed = registration.deregister().await;
            info!(confirmed, "deregistered");
        }
        let address = self.server.local_addr();
        let finished = self.server.drain(at_most).await;
        if let Some(admin) = self.admin {
            admin.drain_until(async {}).await;
        }
        info!(%address, finished, "server drained");
        finished
    }
}

fn find(config: &Config) -> Found {
    let Some(etcd) = &config.etcd else { return Found::fixed(config.nodes.clone()) };
    let mut settings = follow::Settings::new(&config.service);
    settings.allow = config.allow.clone();
    follow::start(etcd.clone(), settings, config.nodes.clone())
}

fn group(name: &str, config: &Config, peers: &Peers) -> Group<Bytes> {
    let settings = config.group;
    Group::bytes(name)
        .max_bytes(settings.max_bytes)
        .ttl(settings.ttl)
        .jitter(settings.jitter)
        .hot_keys(settings.hot)
        .tombstones(settings.tombstones, settings.tombstone_ttl)
        .max_skew(settings.max_skew)
        .shared_strategy(Arc::clone(&config.strategy))
        .peers(peers)
        .build()
}

fn admin(
    config: &Config,
    peers: &Peers,
    readiness: &Readiness,
) -> Result<Option<Handle>, StartError> {
    let Some(address) = config.admin else { return Ok(None) };
    let started = admin::start(address, peers, readiness);
    let handle = started.map_err(|source| StartError::Listen { address, source })?;
    info!(address = %handle.local_addr(), "metrics and health");
    Ok(Some(handle))
}

async fn register(config: &Config, me: &NodeAddr) -> Option<Registration> {
    let Some(etcd) = &config.etcd else {
        info!(nodes = config.nodes.len(), "no etcd: the peers are those of the configuration");
        return None;
    };
    let endpoints = etcd.endpoints.join(",");
    let key = format!("{}{me}", etcd.keys_of(&config.service));
    info!(%endpoints, key, "registering");
    let service = Service { name: config.service.clone(), addr: me.clone() };
    let registration = Registration::start(etcd.clone(), service);
    let mut changes = registration.changes();
    let registered = changes.wait_for(|standing| standing.registered);
    if matches!(timeout(REGISTERED, registered).await, Ok(Ok(_))) {
        info!(%endpoints, key, "registered");
    } else {
        let trouble = registration.standing().trouble.unwrap_or_else(|| "no answer".to_owned());
        warn!(%endpoints, key, trouble, "not registered yet; it goes on trying");
    }
    Some(registration)
}

/// Waits to find itself among the members, and the others to have been called, for a while.
async fn see_peers(peers: &Peers, etcd: bool) {
    let seen = async {
        loop {
            let listed = !etcd || peers.view().me().is_some();
            let called = peers.others().iter().all(|peer| peer.state != super::PeerState::New);
            if listed && called {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let all = timeout(SEEN, seen).await.is_ok();
    let others = peers.others();
    let alive = others.iter().filter(|peer| peer.state == super::PeerState::Alive).count();
    info!(
        peers = others.len(),
        alive,
        listed_myself = peers.view().me().is_some(),
        all,
        "peers seen"
    );
}
