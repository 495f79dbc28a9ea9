//! Certificates from files.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::group::config::TlsFiles;

/// A file that secures connections can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct TlsError {
    path: PathBuf,
    source: std::io::Error,
}

/// What the two sides of a connection need, if there are files.
pub(super) async fn both(
    files: Option<&TlsFiles>,
) -> Result<(Option<ClientTlsConfig>, Option<ServerTlsConfig>), TlsError> {
    let Some(files) = files else { return Ok((None, None)) };
    let ca = Certificate::from_pem(read(&files.ca).await?);
    let identity = Identity::from_pem(read(&files.cert).await?, read(&files.key).await?);
    let mut client = ClientTlsConfig::new().ca_certificate(ca.clone()).identity(identity.clone());
    if let Some(domain) = &files.domain {
        client = client.domain_name(domain);
    }
    let server = ServerTlsConfig::new().identity(identity).client_ca_root(ca);
    Ok((Some(client), Some(server)))
}

async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let owned = path.to_owned();
    let failed = |source| TlsError { path: path.to_owned(), source };
    let read = tokio::task::spawn_blocking(move || std::fs::read(owned)).await;
    read.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)
}
