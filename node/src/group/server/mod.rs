//! The gRPC server of a group: its services, standard health and reflection.

mod answers;
mod auth;
mod bound;
mod cache;
mod embedded;
mod sync;

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_health::server::HealthReporter;

use super::{
    Peers,
    peers::MAX_MESSAGE,
    proto::{self, cache_server::CacheServer, sync_server::SyncServer},
};
use auth::Auth;
use bound::Source;
use cache::CacheService;
use sync::SyncService;

pub use bound::Bound;
pub use embedded::GroupService;

/// Calls at a time on one connection.
const STREAMS: u32 = 1024;
/// Bytes of the fields of a request's head.
const HEAD: u32 = 16 << 10;

/// What a server asks of its callers.
#[derive(Clone, Default)]
pub struct ServerOptions {
    /// The secret that peers and clients must know, where there is one.
    pub token: Option<SecretString>,
    /// How connections are secured, where they are; with a root for clients, mutually.
    pub tls: Option<ServerTlsConfig>,
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerOptions")
            .field("token", &self.token.is_some())
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// A running server of all groups of a [`Peers`]. Dropping it stops it at once.
#[derive(Debug)]
pub struct GroupServer {
    address: SocketAddr,
    health: HealthReporter,
    stop: CancellationToken,
    served: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The certificate, key or authority can't be used.
    #[error("tls: {}", chain(.0))]
    Tls(#[source] tonic::transport::Error),
    /// The reflection service does not take the protocol's own description.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The services of all groups of `peers`, which take messages of so many bytes.
fn services(
    peers: &Peers,
    stop: &CancellationToken,
    bytes: usize,
) -> (CacheServer<CacheService>, SyncServer<SyncService>) {
    let shared = peers.shared();
    let cache = CacheService { shared: shared.clone(), stop: stop.clone() };
    let sync = SyncService { shared: shared.clone() };
    (
        CacheServer::new(cache).max_decoding_message_size(bytes),
        SyncServer::new(sync).max_decoding_message_size(bytes),
    )
}

fn chain(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl GroupServer {
    /// Serves the groups that have joined `peers`, and those that will.
    ///
    /// # Errors
    /// What secures connections can't be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(
        bound: Bound,
        peers: &Peers,
        options: ServerOptions,
    ) -> Result<Self, ServerError> {
        let Bound { source, address } = bound;
        let stop = CancellationToken::new();
        let auth = Auth::new(options.token);
        let (cache, sync) = services(peers, &stop, MAX_MESSAGE);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<CacheServer<CacheService>>().await;
        health.set_serving::<SyncServer<SyncService>>().await;
        let mut server = Server::builder()
            .tcp_nodelay(true)
            .max_concurrent_streams(STREAMS)
            .http2_max_header_list_size(HEAD)
            .http2_keepalive_interval(Some(Duration::from_secs(20)));
        if let Some(tls) = options.tls {
            server = server.tls_config(tls).map_err(ServerError::Tls)?;
        }
        let router = server
            .add_service(InterceptedService::new(cache, auth.clone()))
            .add_service(InterceptedService::new(sync, auth.clone()))
            .add_service(InterceptedService::new(reflection, auth))
            // Open to whoever only wants to know whether it is well.
            .add_service(health_service);
        let until = stop.clone().cancelled_owned();
        let served = match source {
            Source::Tcp(listener) => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                tokio::spawn(router.serve_with_incoming_shutdown(incoming, until))
            }
            Source::Other(incoming) => {
                tokio::spawn(router.serve_with_incoming_shutdown(incoming, until))
            }
        };
        Ok(Self { address, health, stop, served })
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when the server ends that was not told to. Cancel safe.
    pub async fn failed(&mut self) {
        // However it ended: it did.
        let _ = (&mut self.served).await;
    }

    /// Tells health checks that it takes no more, stops accepting, and finishes what is under way,
    /// for `at_most` so long. Says whether all of it was finished.
    pub async fn drain(mut self, at_most: Duration) -> bool {
        self.health.set_not_serving::<CacheServer<CacheService>>().await;
        self.health.set_not_serving::<SyncServer<SyncService>>().await;
        self.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
        self.stop.cancel();
        timeout(at_most, &mut self.served).await.is_ok()
    }
}

impl Drop for GroupServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.served.abort();
    }
}
