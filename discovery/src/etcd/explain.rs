//! Why etcd cannot be used, in words of the configuration.
//!
//! Neither a call that failed nor its connection tell it: with TLS 1.3 a server refuses a client's certificate after the
//! handshake is over for the client, who then hears that the connection was closed, or nothing at all. So, once something
//! has failed, the handshake is done once more by hand, up to the first bytes of HTTP/2 that come back.

use std::{io, path::Path, sync::Arc, time::Duration};

use etcd_client::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, AlertDescription, CertificateError, ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

use super::{EtcdError, Settings, Tls};

/// A handshake takes milliseconds.
const LOOK: Duration = Duration::from_secs(2);
/// What a client of HTTP/2 begins with: its preface, and settings that change nothing.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const NOT_ENCRYPTED: &str = "is set, but who answers is not encrypted, or no etcd";

/// Codes of gRPC.
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

/// The failure of a session, or the setting that is to blame for it.
pub(crate) async fn explain(settings: &Settings, endpoint: &str, failure: EtcdError) -> EtcdError {
    let (EtcdError::Refused { .. } | EtcdError::TimedOut { .. }) = &failure else { return failure };
    if let EtcdError::Refused { source: Error::GRpcStatus(status), what } = &failure {
        let user = settings.user.as_ref().map(|(name, _)| name);
        if let Some(why) = refused(status.code().into(), status.message(), user) {
            return why;
        }
        tracing::debug!(what, endpoint, "etcd's refusal is no matter of users");
    }
    match timeout(LOOK, look(endpoint, settings.tls.as_ref())).await {
        Ok(Err(unfit)) => unfit,
        Ok(Ok(())) | Err(_) => failure,
    }
}

/// What a refusal says of the user.
fn refused(code: i32, said: &str, user: Option<&String>) -> Option<EtcdError> {
    let unfit = |key, why| Some(EtcdError::Unfit { key, why });
    match (code, user) {
        (INVALID_ARGUMENT | UNAUTHENTICATED, None) => {
            unfit("etcd.username", format!("etcd asks for a name and a password ({said})"))
        }
        (INVALID_ARGUMENT | UNAUTHENTICATED, Some(user)) => {
            unfit("etcd.password", format!("etcd does not let {user:?} in with it ({said})"))
        }
        (PERMISSION_DENIED, Some(user)) => unfit(
            "etcd.username",
            format!("{user:?} must be allowed to read and write below `etcd.prefix` ({said})"),
        ),
        _ => None,
    }
}

/// Greets etcd; what goes wrong in a way that a setting explains is the error.
async fn look(endpoint: &str, tls: Option<&Tls>) -> Result<(), EtcdError> {
    let addr = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let addr = addr.trim_end_matches('/');
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let domain = tls.and_then(|tls| tls.domain.as_deref());
    let name = domain.unwrap_or(host.trim_matches(['[', ']']));
    let Ok(server) = ServerName::try_from(name.to_owned()) else {
        let why = format!("{name:?} cannot be the name in a certificate");
        return Err(EtcdError::Unfit { key: "etcd.domain", why });
    };
    let connector = TlsConnector::from(Arc::new(config(tls).await?));
    let Ok(stream) = TcpStream::connect(addr).await else { return Ok(()) };
    let failed = match connector.connect(server, stream).await {
        Ok(mut stream) => greet(&mut stream).await.err(),
        Err(error) if tls.is_some() && error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(EtcdError::Unfit { key: "etcd.ca", why: NOT_ENCRYPTED.to_owned() });
        }
        Err(error) => Some(error),
    };
    let failed = failed.as_ref().and_then(io::Error::get_ref);
    let Some(error) = failed.and_then(|error| error.downcast_ref()) else { return Ok(()) };
    match blame(error, tls.is_some(), name) {
        Some((key, why)) => Err(EtcdError::Unfit { key, why: format!("{why} ({error})") }),
        None => Ok(()),
    }
}

async fn greet(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream.write_all(HTTP2).await?;
    stream.read_u8().await?;
    Ok(())
}

/// The key that a failed handshake is to be blamed on, and why.
fn blame(error: &rustls::Error, is_set: bool, name: &str) -> Option<(&'static str, String)> {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext,
    };
    Some(match error {
        rustls::Error::InvalidCertificate(_) if !is_set => (
            "etcd.ca",
            "must name the certificate that etcd's is signed with: etcd is encrypted".into(),
        ),
        rustls::Error::InvalidCertificate(why) => match why {
            NotValidForName | NotValidForNameContext { .. } => {
                ("etcd.domain", format!("etcd's certificate is not for {name:?}"))
            }
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => (
                "etcd.ca",
                "etcd's certificate, or that which it is signed with, is not valid now".into(),
            ),
            _ => ("etcd.ca", "etcd's certificate is not signed with this one".into()),
        },
        rustls::Error::AlertReceived(
            CertificateRequired
            | BadCertificate
            | UnknownCA
            | CertificateUnknown
            | AccessDenied
            | CertificateExpired
            | CertificateRevoked
            | UnsupportedCertificate,
        ) => {
            ("etcd.cert", "etcd asks for a certificate, and does not take this one, or none".into())
        }
        rustls::Error::InvalidMessage(_) if is_set => ("etcd.ca", NOT_ENCRYPTED.into()),
        _ => return None,
    })
}

/// As connections are made, with the files as they are now. Without TLS settings nobody is trusted: an etcd that is
/// encrypted all the same is known by its certificate.
async fn config(tls: Option<&Tls>) -> Result<ClientConfig, EtcdError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = tls.and_then(|tls| tls.ca.as_deref()) {
        for cert in certificates("etcd.ca", ca).await? {
            let added = roots.add(cert);
            added.map_err(|error| unreadable("etcd.ca", ca, &error))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| EtcdError::Unfit { key: "etcd.ca", why: error.to_string() })?
        .with_root_certificates(roots);
    let mut config = match tls.and_then(|tls| tls.identity.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates("etcd.cert", cert).await?;
            let pem = super::read("etcd.key", key).await?;
            let secret = PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|error| unreadable("etcd.key", key, &error))?;
            let config = builder.with_client_auth_cert(chain, secret);
            config.map_err(|error| unreadable("etcd.key", key, &error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, EtcdError> {
    let pem = super::read(key, path).await?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unreadable(key, path, &"there is no certificate in it"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(key, path, &error)),
    }
}

fn unreadable(key: &'static str, path: &Path, why: &impl std::fmt::Display) -> EtcdError {
    EtcdError::Unfit { key, why: format!("{}: {why}", path.display()) }
}
