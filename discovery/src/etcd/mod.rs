//! How etcd is reached: one endpoint at a time, each call with an end.
//!
//! A session uses one endpoint and takes the next where that fails; a client that balances over all of them would keep
//! sending a part of its calls to the one that is dead. HTTP/2 pings notice a connection that nobody answers on within
//! [`Settings::PING_EVERY`] and [`Settings::PING_WITHIN`], and calls that need a leader fail on a member without one.

mod error;
mod explain;
mod settings;

use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use secrecy::ExposeSecret as _;

pub use error::EtcdError;
pub(crate) use explain::explain;
pub use settings::{InvalidSettings, Settings, Tls};

/// Calls are answered in milliseconds; one that takes this long is asked of another member.
const CALL: Duration = Duration::from_secs(5);
/// Members of an etcd cluster are near each other and near their clients.
const CONNECT: Duration = Duration::from_secs(2);

/// The code of gRPC with which a log-in is refused where nobody has to log in.
const FAILED_PRECONDITION: i32 = 9;

/// A client of one endpoint.
pub(crate) async fn connect(settings: &Settings, endpoint: &str) -> Result<Client, EtcdError> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(CONNECT)
        .with_keep_alive(Settings::PING_EVERY, Settings::PING_WITHIN)
        .with_keep_alive_while_idle(true)
        .with_require_leader(true);
    if let Some(tls) = &settings.tls {
        options = options.with_tls(tls_options(tls).await?);
    }
    let Some((name, password)) = &settings.user else {
        return call("connect", Client::connect([endpoint], Some(options))).await;
    };
    let known = options.clone().with_user(name, password.expose_secret());
    match call("log in", Client::connect([endpoint], Some(known))).await {
        // Passwords are not asked for yet, and nodes are told theirs before etcd is.
        Err(EtcdError::Refused { source: Error::GRpcStatus(status), .. })
            if i32::from(status.code()) == FAILED_PRECONDITION =>
        {
            tracing::warn!(
                endpoint,
                "etcd asks nobody for a password; `etcd.username` is not used"
            );
            call("connect", Client::connect([endpoint], Some(options))).await
        }
        connected => connected,
    }
}

/// Reads the files each time, so that those that were renewed count from the next connection on.
async fn tls_options(tls: &Tls) -> Result<TlsOptions, EtcdError> {
    let mut options = TlsOptions::new();
    if let Some(ca) = &tls.ca {
        options = options.ca_certificate(Certificate::from_pem(read("etcd.ca", ca).await?));
    }
    if let Some((cert, key)) = &tls.identity {
        let (cert, key) = (read("etcd.cert", cert).await?, read("etcd.key", key).await?);
        options = options.identity(Identity::from_pem(cert, key));
    }
    if let Some(domain) = &tls.domain {
        options = options.domain_name(domain);
    }
    Ok(options)
}

async fn read(key: &'static str, path: &std::path::Path) -> Result<Vec<u8>, EtcdError> {
    let read = tokio::fs::read(path).await;
    read.map_err(|source| EtcdError::File { key, path: path.to_owned(), source })
}

/// A call with an end.
pub(crate) async fn call<T>(
    what: &'static str,
    answer: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, EtcdError> {
    match tokio::time::timeout(CALL, answer).await {
        Ok(answer) => answer.map_err(|source| EtcdError::Refused { what, source }),
        Err(_) => Err(EtcdError::TimedOut { what, after: CALL }),
    }
}
