//! The connection to a node, and the group that is talked about.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::problem::Problem;
use crate::group::proto::cache_client::CacheClient;

/// The largest answer that is taken: a full page of keys, or a large value.
const MAX_ANSWER: usize = 256 << 20;

/// How nodes are talked to.
#[derive(Args, Clone)]
pub struct Access {
    /// Longest wait for an answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// The group's shared token
    #[arg(long, env = "KAMAITACHI_GROUP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Certificate authority (PEM) that the nodes' certificates come from; turns on TLS
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our own certificate (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["key_file", "ca"])]
    pub cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long = "key", id = "key_file", value_name = "FILE", requires_all = ["cert", "ca"])]
    pub key: Option<PathBuf>,
    /// The name in the nodes' certificates, where it is not the host's
    #[arg(long, value_name = "NAME", requires = "ca")]
    pub domain: Option<String>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("Access")
            .field("timeout", &self.timeout)
            .field("token", &token)
            .finish_non_exhaustive()
    }
}

/// Shows the token, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials(Option<MetadataValue<Ascii>>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The client of a node.
pub(super) type Client = CacheClient<InterceptedService<Channel, Credentials>>;

/// A node, and the group that is talked about. Clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    access: Access,
    addr: String,
    group: String,
    client: Client,
}

impl Session {
    /// Talks to the node at `addr` of `group`; an empty name is the only group of a node. Connects with the first
    /// command, and again whenever the connection is gone.
    ///
    /// # Errors
    /// The address, the token or a certificate can't be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(access: Access, addr: &str, group: &str) -> Result<Self, Problem> {
        let client = connect(&access, addr)?;
        Ok(Self { access, addr: addr.to_owned(), group: group.to_owned(), client })
    }

    /// The same to another node.
    ///
    /// # Errors
    /// The address can't be used.
    pub(super) fn at(&self, addr: &str) -> Result<Self, Problem> {
        Self::new(self.access.clone(), addr, &self.group)
    }

    /// Talks of another group from now on.
    pub(super) fn talk_of(&mut self, group: &str) {
        group.clone_into(&mut self.group);
    }

    /// The node's address.
    #[must_use]
    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    /// The group's name; empty for the only one.
    #[must_use]
    pub(super) fn group(&self) -> String {
        self.group.clone()
    }

    /// A client for one call.
    #[must_use]
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// `message` with the deadline that counts for every call.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.access.timeout);
        request
    }

    /// What a call came to.
    ///
    /// # Errors
    /// It failed.
    pub(super) fn answer<T>(
        &self,
        result: Result<tonic::Response<T>, Status>,
    ) -> Result<T, Problem> {
        result.map(tonic::Response::into_inner).map_err(|status| {
            let problem = Problem::of(&self.addr, &status);
            if self.access.ca.is_some() { problem.of_secured() } else { problem }
        })
    }
}

fn connect(access: &Access, addr: &str) -> Result<Client, Problem> {
    let bad = |why: String| {
        Problem::Usage(format!("`{addr}` is no address of a node (HOST:PORT): {why}"))
    };
    if addr.contains('/')
        || addr.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err())
    {
        return Err(bad("expected a host and a port".to_owned()));
    }
    let scheme = if access.ca.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{addr}"))
        .map_err(|error| bad(error.to_string()))?;
    let mut endpoint = endpoint
        .connect_timeout(access.timeout)
        .timeout(access.timeout)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5));
    if let Some(tls) = tls(access)? {
        endpoint = endpoint.tls_config(tls).map_err(|error| Problem::Usage(error.to_string()))?;
    }
    let token = access.token.as_ref().map(|token| format!("Bearer {token}").parse());
    let mut token: Option<MetadataValue<Ascii>> = token
        .transpose()
        .map_err(|_| Problem::Usage("--token: expected visible ASCII characters".to_owned()))?;
    if let Some(token) = &mut token {
        token.set_sensitive(true);
    }
    let client = CacheClient::with_interceptor(endpoint.connect_lazy(), Credentials(token));
    Ok(client.max_decoding_message_size(MAX_ANSWER).max_encoding_message_size(MAX_ANSWER))
}

fn tls(access: &Access) -> Result<Option<ClientTlsConfig>, Problem> {
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| Problem::Usage(format!("{}: {error}", file.display())))
    };
    let Some(ca) = &access.ca else { return Ok(None) };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
    if let (Some(cert), Some(key)) = (&access.cert, &access.key) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    if let Some(domain) = &access.domain {
        tls = tls.domain_name(domain);
    }
    Ok(Some(tls))
}
