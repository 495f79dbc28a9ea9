//! `[etcd]` of a configuration file, the same for every process.

use std::{path::PathBuf, time::Duration};

use kamaitachi_serve::config::{Env, List, Mistakes, Seconds, Secret};
use serde::{Deserialize, Serialize};

use crate::etcd::{Settings, Tls};

/// Where services are registered.
const PREFIX: &str = "/services";
/// Long enough to outlive a pause of the process, short enough that a dead node is missed soon.
const TTL: Seconds = Seconds::of(10);
/// A registration that outlives its service by more than this is none.
const LONGEST_TTL: Seconds = Seconds::of(3_600);

/// `[etcd]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawEtcd {
    /// Addresses of its members; empty = there is none.
    pub endpoints: List,
    /// Prefix of the services' keys.
    pub prefix: String,
    /// How long a registration outlives its service.
    pub ttl: Seconds,
    /// Name to log in with; empty = none.
    pub username: String,
    /// Its password.
    pub password: Option<Secret>,
    /// File of the certificate that etcd's is signed with; empty = not encrypted.
    pub ca: String,
    /// File of our own certificate; empty = none.
    pub cert: String,
    /// File of its key.
    pub key: String,
    /// Name in etcd's certificate; empty = the host of the endpoint.
    pub domain: String,
}

impl Default for RawEtcd {
    fn default() -> Self {
        Self {
            endpoints: List::default(),
            prefix: PREFIX.to_owned(),
            ttl: TTL,
            username: String::new(),
            password: None,
            ca: String::new(),
            cert: String::new(),
            key: String::new(),
            domain: String::new(),
        }
    }
}

impl RawEtcd {
    /// Checks the section, and notes every mistake; `None` where there is no etcd.
    #[must_use]
    pub fn check(self, env: &Env, mistakes: &mut Mistakes) -> Option<Settings> {
        let mut section = mistakes.section("etcd");
        let tls = self.tls();
        for (i, endpoint) in self.endpoints.0.iter().enumerate() {
            let checked = Settings::check_endpoint(endpoint, tls.as_ref());
            section.take(format_args!("endpoints[{i}]"), checked);
        }
        section.require(
            "prefix",
            self.prefix.starts_with('/') && self.prefix.bytes().all(|b| b.is_ascii_graphic()),
            format_args!("expected a path such as \"/services\", found {:?}", self.prefix),
        );
        let ttl = section.within("ttl", self.ttl, Seconds::of(1)..=LONGEST_TTL);
        section.require(
            "key",
            self.cert.is_empty() == self.key.is_empty(),
            "`cert` and `key` belong together: set both or neither",
        );
        section.require(
            "password",
            self.username.is_empty() == self.password.is_none(),
            "`username` and `password` belong together: set both or neither",
        );
        let password = self.password.map(|secret| section.take("password", secret.reveal(env)));
        if self.endpoints.0.is_empty() {
            return None;
        }
        Some(Settings {
            prefix: self.prefix.trim_end_matches('/').to_owned(),
            ttl: Duration::from_secs(Duration::from(ttl).as_secs()),
            user: password.flatten().map(|password| (self.username, password)),
            tls,
            ..Settings::new(self.endpoints.0)
        })
    }

    fn tls(&self) -> Option<Tls> {
        let file = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
        let tls = Tls {
            ca: file(&self.ca),
            identity: file(&self.cert).zip(file(&self.key)),
            domain: (!self.domain.is_empty()).then(|| self.domain.clone()),
        };
        (tls != Tls::default()).then_some(tls)
    }
}

#[cfg(test)]
mod tests {
    use kamaitachi_serve::config::{Format, load_text};
    use secrecy::ExposeSecret as _;

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        etcd: RawEtcd,
    }

    fn check(text: &str) -> Result<Option<Settings>, Vec<String>> {
        let env = Env::from_pairs([("ETCD_PASSWORD", "hush")]);
        let file: File = load_text(text, Format::Toml, &env).map_err(|e| vec![e.report()])?;
        let mut mistakes = Mistakes::new();
        let settings = file.etcd.check(&env, &mut mistakes);
        let said: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        if said.is_empty() { Ok(settings) } else { Err(said) }
    }

    #[test]
    fn endpoints_are_a_list_or_a_text_and_none_is_no_etcd() {
        assert!(check("").unwrap().is_none());
        for text in ["endpoints = 'a:1, b:2'", "endpoints = ['a:1', 'b:2']"] {
            let settings = check(&format!("[etcd]\n{text}\nprefix = '/x/'")).unwrap().unwrap();
            assert_eq!(settings.endpoints, ["a:1", "b:2"]);
            assert_eq!((settings.prefix.as_str(), settings.ttl.as_secs()), ("/x", 10));
        }
    }

    #[test]
    fn a_user_has_a_password_that_is_not_shown() {
        let text = "[etcd]\nendpoints = 'a:1'\nusername = 'root'\npassword = 'env:ETCD_PASSWORD'";
        let settings = check(text).unwrap().unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        let (name, password) = settings.user.unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("root", "hush"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (text, said) in [
            ("endpoints = 'etcd'", "`etcd.endpoints[0]`: expected HOST:PORT or a URL"),
            (
                "endpoints = 'https://a:1'",
                "`etcd.endpoints[0]`: \"https://a:1\" is encrypted: `ca`",
            ),
            ("endpoints = 'http://a:1'\nca = 'x'", "`etcd.endpoints[0]`: \"http://a:1\" is not"),
            ("prefix = 'services'", "`etcd.prefix`: expected a path"),
            ("ttl = 0", "`etcd.ttl`: 0s is outside 1s to 1h"),
            ("cert = 'x'", "`etcd.key`: `cert` and `key` belong together"),
            ("username = 'x'", "`etcd.password`: `username` and `password` belong together"),
            (
                "username = 'x'\npassword = 'env:NOT_THERE'",
                "`etcd.password`: environment variable NOT_THERE is not set",
            ),
        ] {
            let found = check(&format!("[etcd]\n{text}")).expect_err(text);
            assert!(found[0].starts_with(said), "{found:?}");
        }
    }
}
