//! What bounds the dealings with peers.

use std::{fmt, num::NonZeroU16, time::Duration};

use kamaitachi_policies::ring::DEFAULT_REPLICAS;
use secrecy::SecretString;
use tonic::transport::ClientTlsConfig;

use super::{dial::Dial, queue::QueueLimits};

/// How peers are called, and when one counts as gone.
#[derive(Clone)]
pub struct PeerOptions {
    /// Name under which the peers find one another, for people. Default `kamaitachi-cache`.
    pub service: String,
    /// Points of each peer on the ring. Default 150; must be the same everywhere.
    pub replicas: NonZeroU16,
    /// For a connection to stand. Default 1 s.
    pub connect_timeout: Duration,
    /// For an owner to answer a get, its loader included. Default 2 s.
    pub get_timeout: Duration,
    /// For a peer to take writes. Default 2 s; what waits for acknowledgements waits as long.
    pub sync_timeout: Duration,
    /// Between the pings of an idle peer. Default 1 s.
    pub ping_interval: Duration,
    /// Failures in a row that take a peer out until it answers a ping. Default 3.
    pub eject_after: u32,
    /// After a failure, before the next attempt; doubles up to `back_off_most`, each wait shortened
    /// at random by half at the most. Default 50 ms.
    pub back_off: Duration,
    /// Default 5 s.
    pub back_off_most: Duration,
    /// HTTP/2 pings on a connection, and how long for the answer. Default 10 s and 5 s.
    pub keep_alive: (Duration, Duration),
    /// What the queue of writes for each peer may hold.
    pub queue: QueueLimits,
    /// Writes of one message at the most. Default 512.
    pub batch: usize,
    /// The secret all peers and clients share, where there is one.
    pub token: Option<SecretString>,
    /// How connections are secured, where they are.
    pub tls: Option<ClientTlsConfig>,
    /// How connections are made, where not by TCP.
    pub dial: Option<Dial>,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            service: "kamaitachi-cache".into(),
            replicas: DEFAULT_REPLICAS,
            connect_timeout: Duration::from_secs(1),
            get_timeout: Duration::from_secs(2),
            sync_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(1),
            eject_after: 3,
            back_off: Duration::from_millis(50),
            back_off_most: Duration::from_secs(5),
            keep_alive: (Duration::from_secs(10), Duration::from_secs(5)),
            queue: QueueLimits::default(),
            batch: 512,
            token: None,
            tls: None,
            dial: None,
        }
    }
}

impl fmt::Debug for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerOptions")
            .field("service", &self.service)
            .field("token", &self.token.is_some())
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}
