//! `[server]`, `[admin]` and `[log]`: where the gateway listens, and what it says.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};

use kamaitachi_serve::{
    config::{Mistakes, Seconds},
    logs::{self, LogFormat},
};
use serde::{Deserialize, Serialize};

/// Loopback: to be reachable from elsewhere is a decision that somebody writes down.
const HOST: &str = "127.0.0.1";
/// The gateway's port in all documents of the system.
const PORT: u16 = 9000;
/// The port of its admin listener in all documents of the system.
const ADMIN_PORT: u16 = 9901;
/// The name under which a gateway is known among services.
const SERVICE_NAME: &str = "kamaitachi-gateway";
/// Long enough for a request that takes its full time-out, short enough for a supervisor's patience.
const DRAIN: Seconds = Seconds::of(30);
/// Changes of state and failures, nothing for each request.
const LOG_LEVEL: &str = "info";
/// More threads than any machine has cores are a typing error.
const MOST_WORKERS: usize = 1024;

/// `[server]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawServer {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Must be `gateway`.
    pub mode: String,
    /// Name among services.
    pub service_name: String,
    /// Address that others reach it at; empty = `host:port`.
    pub service_addr: String,
    /// Threads that serve; 0 = one for each core.
    pub workers: usize,
    /// Longest time that requests in flight are waited for.
    pub drain_seconds: Seconds,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            host: HOST.to_owned(),
            port: PORT,
            mode: "gateway".to_owned(),
            service_name: SERVICE_NAME.to_owned(),
            service_addr: String::new(),
            workers: 0,
            drain_seconds: DRAIN,
        }
    }
}

/// `[admin]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawAdmin {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { host: HOST.to_owned(), port: ADMIN_PORT }
    }
}

/// `[log]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawLog {
    /// Least severity, or a filter in the syntax of `RUST_LOG`.
    pub level: String,
    /// Form of the lines.
    pub format: LogFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: LOG_LEVEL.to_owned(), format: LogFormat::Auto }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// A filter in the syntax of `RUST_LOG`.
    pub level: String,
    /// Form of the lines.
    pub format: LogFormat,
}

impl Log {
    pub(super) fn check(raw: RawLog, mistakes: &mut Mistakes) -> Self {
        mistakes.section("log").take("level", logs::check(&raw.level));
        Self { level: raw.level, format: raw.format }
    }
}

/// Where and how the gateway serves.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address of the public listener.
    pub listen: SocketAddr,
    /// Address of the admin listener.
    pub admin: SocketAddr,
    /// Name among services.
    pub service_name: String,
    /// Address that others reach it at.
    pub service_addr: String,
    /// Threads that serve; `None` = one for each core.
    pub workers: Option<NonZeroUsize>,
    /// Longest time that requests in flight are waited for.
    pub drain: Duration,
}

impl Server {
    pub(super) fn check(raw: &RawServer, admin: &RawAdmin, mistakes: &mut Mistakes) -> Self {
        let mut section = mistakes.section("server");
        let is_gateway = raw.mode.trim().eq_ignore_ascii_case("gateway");
        section.require(
            "mode",
            is_gateway,
            format_args!("expected \"gateway\", found {:?}", raw.mode),
        );
        let host = section.take("host", host(&raw.host)).unwrap_or(LOOPBACK);
        let workers = section.within("workers", raw.workers, 0..=MOST_WORKERS);
        let drain = section.within("drain_seconds", raw.drain_seconds, Seconds::of(0)..=HOUR);
        let listen = SocketAddr::new(host, raw.port);
        let mut section = mistakes.section("admin");
        let admin_host = section.take("host", self::host(&admin.host)).unwrap_or(LOOPBACK);
        let admin = SocketAddr::new(admin_host, admin.port);
        section.require(
            "port",
            admin.port() == 0 || admin != listen,
            format_args!("{admin} is the address of the public listener"),
        );
        let service_addr = match raw.service_addr.trim() {
            "" => listen.to_string(),
            addr => addr.to_owned(),
        };
        let service_name = raw.service_name.trim().to_owned();
        let workers = NonZeroUsize::new(workers);
        Self { listen, admin, service_name, service_addr, workers, drain: drain.into() }
    }

    /// Where it listens itself, so that no node can be there; without ports that are not known yet.
    pub(super) fn own(&self) -> Vec<SocketAddr> {
        [self.listen, self.admin].into_iter().filter(|own| own.port() != 0).collect()
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR: Seconds = Seconds::of(3600);

/// An address to listen on: an IP address, or the one name that means the same everywhere.
fn host(text: &str) -> Result<IpAddr, String> {
    match text.trim() {
        "localhost" => Ok(LOOPBACK),
        text => text.trim_start_matches('[').trim_end_matches(']').parse().map_err(|_| {
            format!(
                "expected an IP address such as \"127.0.0.1\", or \"localhost\", found {text:?}"
            )
        }),
    }
}
