//! What keeps a group server from joining: the steps of its start, one after the other, each with
//! an end.

use std::{io, net::SocketAddr, time::Duration};

use kamaitachi_discovery::{NodeAddr, follow};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tonic::{
    metadata::MetadataValue,
    transport::{ClientTlsConfig, Endpoint},
};

use super::tls;
use crate::group::{
    config::Config,
    proto::{PingReply, PingRequest, sync_client::SyncClient},
};

/// How long etcd may take to answer.
const ETCD: Duration = Duration::from_secs(5);

/// What one step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The step.
    pub step: String,
    /// What was seen; what hangs, and why.
    pub said: String,
    /// Whether it is as it should be.
    pub good: bool,
}

impl Finding {
    fn of(step: impl Into<String>, outcome: Result<String, String>) -> Self {
        let good = outcome.is_ok();
        Self { step: step.into(), said: outcome.unwrap_or_else(|why| why), good }
    }
}

/// Takes the steps of a start without changing anything: certificates, the address, etcd, the
/// registration, each peer. What comes after a step that failed is tried as far as it makes sense.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tls = tls::both(config.security.tls.as_ref()).await;
    let client = tls.as_ref().ok().and_then(|(client, _)| client.clone());
    let secured = tls.map_err(|error| error.to_string()).map(|_| secured_by(config));
    findings.push(Finding::of("security", secured));
    let caller = Caller { config, tls: client };

    let me = caller.me();
    let (listening, runs) = caller.listening().await;
    findings.push(Finding::of(format!("listening on {}", config.listen), listening));
    let members = match &config.etcd {
        None if config.nodes.is_empty() => {
            findings.push(Finding::of("peers", Ok("none are configured: alone".into())));
            return findings;
        }
        None => config.nodes.clone(),
        Some(_) => {
            let (finding, members) = etcd(config).await;
            findings.push(finding);
            let Some(members) = members else { return findings };
            if runs {
                findings.push(Finding::of("registered", registered(&me, &members)));
            }
            members
        }
    };
    let others: Vec<_> = members.iter().filter(|member| member.as_str() != me).collect();
    let epoch = caller.ping(&me).await.ok().map(|reply| reply.epoch).filter(|_| runs);
    for peer in &others {
        findings.push(Finding::of(format!("peer {peer}"), caller.peer(peer, epoch).await));
    }
    if others.is_empty() {
        findings.push(Finding::of("peers", Ok("no others are there".into())));
    }
    findings
}

fn secured_by(config: &Config) -> String {
    let token = config.security.token.as_ref().map(|_| "a shared token");
    let tls = config.security.tls.as_ref().map(|_| "mutual TLS");
    match (token, tls) {
        (Some(token), Some(tls)) => format!("{token} and {tls}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "open, on loopback only".to_owned(),
    }
}

fn registered(me: &str, members: &[NodeAddr]) -> Result<String, String> {
    if members.iter().any(|member| member.as_str() == me) {
        return Ok(format!("{me} is among the {} registered", members.len()));
    }
    Err(format!(
        "a server runs here, but {me} is not among the {} registered: see its log for why, and \
         whether `server.service_addr` is what it registered",
        members.len()
    ))
}

async fn etcd(config: &Config) -> (Finding, Option<Vec<NodeAddr>>) {
    let Some(etcd) = config.etcd.clone() else {
        return (Finding::of("etcd", Ok("not used".into())), None);
    };
    let (endpoints, keys) = (etcd.endpoints.join(","), etcd.keys_of(&config.service));
    let mut settings = follow::Settings::new(&config.service);
    settings.allow = config.allow.clone();
    let found = follow::start(etcd, settings, Vec::new());
    let mut health = found.health_changes();
    let answered = timeout(ETCD, health.wait_for(|health| health.synced.is_some())).await;
    let step = format!("etcd at {endpoints}");
    if !matches!(answered, Ok(Ok(_))) {
        let trouble =
            found.health().trouble.unwrap_or_else(|| format!("no answer within {ETCD:?}"));
        return (Finding::of(step, Err(trouble)), None);
    }
    let (members, refused) = (found.now().to_vec(), found.health().refused);
    let mut said = format!("answers; {} under {keys}", members.len());
    if refused != 0 {
        said = format!("{said}; {refused} values refused, see `peers.allowed_cidrs`");
    }
    (Finding::of(step, Ok(said)), Some(members))
}

/// Calls as a peer would.
struct Caller<'a> {
    config: &'a Config,
    tls: Option<ClientTlsConfig>,
}

impl Caller<'_> {
    fn me(&self) -> String {
        let addr = self.config.service_addr.as_ref().map(ToString::to_string);
        addr.unwrap_or_else(|| self.config.listen.to_string())
    }

    /// Whether the address is free, or a server of ours runs there.
    async fn listening(&self) -> (Result<String, String>, bool) {
        let address = self.config.listen;
        match TcpListener::bind(address).await {
            Ok(_) => (Ok("the address is free; no server runs here".to_owned()), false),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match self.ping(&reachable(address)).await {
                    Ok(reply) => (Ok(format!("a server runs here as {}", reply.node)), true),
                    Err(why) => (Err(format!("taken, and not by a group server: {why}")), false),
                }
            }
            Err(error) => (Err(error.to_string()), false),
        }
    }

    async fn peer(&self, peer: &NodeAddr, epoch: Option<u64>) -> Result<String, String> {
        let limit = self.config.peers.connect_timeout;
        match timeout(limit, TcpStream::connect(peer.as_str())).await {
            Err(_) => {
                return Err(format!("no connection within {limit:?}: is a firewall between?"));
            }
            Ok(Err(error)) => return Err(format!("no connection: {error}")),
            Ok(Ok(_)) => {}
        }
        let reply = self.ping(peer.as_str()).await?;
        if reply.node != peer.as_str() {
            return Err(format!(
                "calls itself {}: its `server.service_addr` is not what it is known by",
                reply.node
            ));
        }
        let missing: Vec<_> =
            self.config.names.iter().filter(|name| !reply.groups.contains(name)).collect();
        if !missing.is_empty() {
            return Err(format!("does not hold {missing:?}; it holds {:?}", reply.groups));
        }
        match epoch {
            Some(epoch) if epoch != reply.epoch => {
                Err("sees other members than the server here: one of the two is behind".to_owned())
            }
            _ => Ok("answers".to_owned()),
        }
    }

    async fn ping(&self, addr: &str) -> Result<PingReply, String> {
        let limit = self.config.peers.sync_timeout;
        let reply = timeout(limit, self.call(addr)).await;
        reply.map_err(|_| format!("connects, and gives no answer within {limit:?}: it hangs"))?
    }

    async fn call(&self, addr: &str) -> Result<PingReply, String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let said = |error: &dyn std::error::Error| chain(error);
        let mut endpoint =
            Endpoint::from_shared(format!("{scheme}://{addr}")).map_err(|error| said(&error))?;
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.clone()).map_err(|error| said(&error))?;
        }
        let channel = endpoint
            .connect_timeout(self.config.peers.connect_timeout)
            .connect()
            .await
            .map_err(|error| said(&error))?;
        let mut request = tonic::Request::new(PingRequest {});
        if let Some(token) = &self.config.security.token {
            let bearer = format!("Bearer {}", secrecy::ExposeSecret::expose_secret(token));
            let bearer = MetadataValue::try_from(bearer);
            let bearer = bearer.map_err(|_| "the token can't be sent".to_owned())?;
            request.metadata_mut().insert("authorization", bearer);
        }
        let reply = SyncClient::new(channel).ping(request).await;
        reply.map(tonic::Response::into_inner).map_err(|status| {
            format!("answers {}: {}", status.code().description(), status.message())
        })
    }
}

/// Where a server that listens on an unspecified address is to be found from here.
fn reachable(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address.to_string()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
