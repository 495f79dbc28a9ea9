//! Where etcd is, and who we are there.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;

/// Where etcd is, and who we are there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its members, each `HOST:PORT` or a URL. Any one of them is enough.
    pub endpoints: Vec<String>,
    /// The prefix of all services' keys, without a slash at its end. Default `/services`.
    pub prefix: String,
    /// How long a registration outlives its service, in whole seconds. Default 10 s.
    pub ttl: Duration,
    /// Name and password.
    pub user: Option<(String, SecretString)>,
    /// How connections are encrypted; `None` = not at all.
    pub tls: Option<Tls>,
}

/// How connections to etcd are encrypted: files in PEM, read anew for each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate that etcd's is signed with.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key, where etcd asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in etcd's certificate, where it is not the host of the endpoint.
    pub domain: Option<String>,
}

/// Settings that can't be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSettings {
    /// The text is no endpoint.
    #[error(
        "expected HOST:PORT or a URL such as \"http://127.0.0.1:2379\", without a path, found {0:?}"
    )]
    Endpoint(String),
    /// An endpoint without encryption among TLS settings.
    #[error("{0:?} is not encrypted, but there are TLS settings; write https://")]
    Plain(String),
    /// An encrypted endpoint without a certificate to check it by.
    #[error("{0:?} is encrypted: `ca` must name the certificate that etcd's is signed with")]
    NoCa(String),
}

impl Settings {
    /// How often a connection is asked for a sign of life.
    pub const PING_EVERY: Duration = Duration::from_secs(3);
    /// How long that may take.
    pub const PING_WITHIN: Duration = Duration::from_secs(3);

    /// The defaults, for an etcd at these endpoints.
    #[must_use]
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: "/services".to_owned(),
            ttl: Duration::from_secs(10),
            user: None,
            tls: None,
        }
    }

    /// What the keys of a service begin with: the whole segment, so that one service is never taken for another whose
    /// name is longer.
    #[must_use]
    pub fn keys_of(&self, service: &str) -> String {
        format!("{}/{service}/", self.prefix.trim_end_matches('/'))
    }

    /// Whether `endpoint` can be reached with these TLS settings.
    ///
    /// # Errors
    /// Why not.
    pub fn check_endpoint(endpoint: &str, tls: Option<&Tls>) -> Result<(), InvalidSettings> {
        let (encrypted, rest) = match endpoint.split_once("://") {
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some(_) => return Err(InvalidSettings::Endpoint(endpoint.to_owned())),
            None => (None, endpoint),
        };
        if rest.trim_end_matches('/').parse::<crate::NodeAddr>().is_err() {
            return Err(InvalidSettings::Endpoint(endpoint.to_owned()));
        }
        match (encrypted, tls) {
            (Some(false), Some(_)) => Err(InvalidSettings::Plain(endpoint.to_owned())),
            (Some(true), None) => Err(InvalidSettings::NoCa(endpoint.to_owned())),
            (_, Some(tls)) if tls.ca.is_none() => Err(InvalidSettings::NoCa(endpoint.to_owned())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_service_end_its_name() {
        let mut settings = Settings::new(["127.0.0.1:2379"]);
        assert_eq!(settings.keys_of("kamaitachi-slave"), "/services/kamaitachi-slave/");
        settings.prefix = "/a/b/".to_owned();
        assert_eq!(settings.keys_of("x"), "/a/b/x/");
    }

    #[test]
    fn endpoints_and_encryption_must_fit() {
        let tls = Tls { ca: Some("ca.pem".into()), ..Tls::default() };
        let check = |endpoint, tls: Option<&Tls>| Settings::check_endpoint(endpoint, tls);
        for (endpoint, tls) in [
            ("127.0.0.1:2379", None),
            ("http://etcd-1:2379/", None),
            ("etcd-1:2379", Some(&tls)),
            ("https://[::1]:2379", Some(&tls)),
        ] {
            assert_eq!(check(endpoint, tls), Ok(()), "{endpoint}");
        }
        for endpoint in ["", "etcd", "ftp://etcd:1", "http://etcd:2379/v3", "a b:1"] {
            assert!(matches!(check(endpoint, None), Err(InvalidSettings::Endpoint(_))));
        }
        assert!(matches!(check("http://a:1", Some(&tls)), Err(InvalidSettings::Plain(_))));
        assert!(matches!(check("https://a:1", None), Err(InvalidSettings::NoCa(_))));
        assert!(matches!(check("a:1", Some(&Tls::default())), Err(InvalidSettings::NoCa(_))));
    }
}
