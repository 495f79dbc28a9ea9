//! `[rate_limit]`, `[breaker]`, `[retry]` and `[forward]`: what all routes have in common.

use std::num::NonZeroUsize;

use http::HeaderName;
use ipnet::IpNet;
use kamaitachi_layers::forward::ForwardLayer;
use kamaitachi_policies::{
    breaker::{BreakerConfig, BreakerSettings},
    budget::BudgetConfig,
    lateness::LatenessConfig,
    quota::Quota,
};
use kamaitachi_serve::config::{Env, List, Millis, Mistakes, Secret, Span};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Clients remembered one by one; the others share buckets. 64 Ki of them are a few megabytes.
const MAX_CLIENTS: usize = 65_536;
/// The header that lifts the limits, for those who know the key.
const EXEMPT_HEADER: HeaderName = HeaderName::from_static("x-kamaitachi-limit-key");
/// A shorter key can be guessed.
const SHORTEST_KEY: usize = 16;
/// One try for the owner, one for its successor, one more.
const MAX_TRIES: u32 = 3;
/// Retries add a tenth to the load of the nodes, at most.
const BUDGET_PERCENT: u16 = 10;
/// Enough to bridge the seconds until a dead node is noticed.
const MIN_PER_SECOND: u16 = 10;
/// Several times what a node needs for an answer that is not in its cache.
const HEDGE_AFTER: Millis = Millis::of(50);
/// What clients would take for an outage, and the wait while too little is known of a route.
const HEDGE_AT_MOST: Millis = Millis::of(1_000);
/// The gateway's name in `Via`.
const VIA: &str = "kamaitachi";

/// `[rate_limit]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawRateLimit {
    /// Whether any limit is enforced.
    pub enabled: bool,
    /// Whoever sends this key in `X-Kamaitachi-Limit-Key` is not limited.
    pub exempt_key: Option<Secret>,
    /// Requests a second of one client over all routes; 0 = clients are not told apart.
    pub client_rate: u32,
    /// Requests at once of one client; 0 = as many as `client_rate`.
    pub client_burst: u32,
    /// What tells clients apart: `ip`, or `header:NAME`.
    pub client: String,
    /// Clients remembered one by one.
    pub max_clients: usize,
}

impl Default for RawRateLimit {
    fn default() -> Self {
        Self {
            enabled: true,
            exempt_key: None,
            client_rate: 0,
            client_burst: 0,
            client: "ip".to_owned(),
            max_clients: MAX_CLIENTS,
        }
    }
}

/// What tells clients apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientKey {
    /// The client's address.
    Ip,
    /// The value of a header, such as an API key; clients without it share one bucket.
    Header(HeaderName),
}

/// How request rates are limited.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// Whether any limit is enforced.
    pub enabled: bool,
    /// The key that lifts the limits for a request.
    pub exempt_key: Option<SecretString>,
    /// The limit of one client over all routes.
    pub client: Option<ClientLimit>,
}

/// The limit of one client over all routes.
#[derive(Clone, Debug)]
pub struct ClientLimit {
    /// What tells clients apart.
    pub by: ClientKey,
    /// What each may do.
    pub quota: Quota,
    /// Clients remembered one by one.
    pub max_clients: NonZeroUsize,
}

impl RateLimits {
    /// The header in which [`exempt_key`](Self::exempt_key) is expected.
    pub const EXEMPT_HEADER: HeaderName = EXEMPT_HEADER;

    pub(super) fn check(raw: &RawRateLimit, env: &Env, mistakes: &mut Mistakes) -> Self {
        use secrecy::ExposeSecret as _;
        let mut section = mistakes.section("rate_limit");
        let secret = raw.exempt_key.as_ref();
        let exempt_key = secret.and_then(|key| section.take("exempt_key", key.reveal(env)));
        let long_enough =
            exempt_key.as_ref().is_none_or(|key| key.expose_secret().len() >= SHORTEST_KEY);
        section.require(
            "exempt_key",
            long_enough,
            format_args!("expected {SHORTEST_KEY} characters at least"),
        );
        let by = section.take("client", client_key(&raw.client)).unwrap_or(ClientKey::Ip);
        let max_clients = section.within("max_clients", raw.max_clients, 1..=16_777_216);
        let quota = match (raw.client_rate, raw.client_burst) {
            (0, 0) => None,
            (0, _) => {
                section.add("client_burst", "is set, but `rate_limit.client_rate` is not");
                None
            }
            (rate, 0) => section.take("client_rate", Quota::new(rate, rate)),
            (rate, burst) => section.take("client_rate", Quota::new(rate, burst)),
        };
        let max_clients = NonZeroUsize::new(max_clients).unwrap_or(NonZeroUsize::MIN);
        let client = quota.map(|quota| ClientLimit { by, quota, max_clients });
        Self { enabled: raw.enabled, exempt_key, client }
    }
}

fn client_key(text: &str) -> Result<ClientKey, String> {
    let wrong = || format!("expected \"ip\" or \"header:NAME\", found {text:?}");
    match text.trim().split_once(':') {
        None if text.trim().eq_ignore_ascii_case("ip") => Ok(ClientKey::Ip),
        Some(("header", name)) => name.trim().parse().map(ClientKey::Header).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// `[breaker]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawBreaker {
    /// Whether there are breakers at all.
    pub enabled: bool,
    /// Time over which failures are counted.
    pub window: Millis,
    /// Requests in the window before a breaker can open.
    pub min_requests: u32,
    /// Share of failures that opens it, in percent.
    pub failure_percent: u32,
    /// How long it stays open.
    pub open_for: Millis,
    /// Requests let through when half-open.
    pub half_open_requests: u32,
    /// Successes in a row that close it.
    pub close_after: u32,
}

impl Default for RawBreaker {
    fn default() -> Self {
        let defaults = BreakerSettings::default();
        Self {
            enabled: true,
            window: Span(defaults.window),
            min_requests: defaults.min_requests,
            failure_percent: defaults.failure_percent,
            open_for: Span(defaults.open_for),
            half_open_requests: defaults.half_open_requests,
            close_after: defaults.close_after,
        }
    }
}

/// `None` where there are no breakers. A mistake's text says which key it is about.
pub(super) fn check_breaker(raw: &RawBreaker, mistakes: &mut Mistakes) -> Option<BreakerConfig> {
    let mut section = mistakes.section("breaker");
    let day = Millis::of(86_400_000);
    let close_after_most = raw.half_open_requests.max(1);
    let settings = BreakerSettings {
        window: section.within("window", raw.window, Millis::of(100)..=Millis::of(3_600_000)).0,
        min_requests: section.within("min_requests", raw.min_requests, 1..=1_000_000),
        failure_percent: section.within("failure_percent", raw.failure_percent, 1..=100),
        open_for: section.within("open_for", raw.open_for, Millis::of(1)..=day).0,
        half_open_requests: section.within(
            "half_open_requests",
            raw.half_open_requests,
            1..=10_000,
        ),
        close_after: section.within("close_after", raw.close_after, 1..=close_after_most),
    };
    let config = BreakerConfig::new(settings).unwrap_or_default();
    raw.enabled.then_some(config)
}

/// `[retry]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawRetry {
    /// Nodes that one request is tried at, the first included; 1 = no second try.
    pub max_tries: u32,
    /// Second tries for every hundred requests.
    pub budget_percent: u16,
    /// Second tries a second that are possible in any case.
    pub min_per_second: u16,
    /// Shortest wait for an answer before another node is asked; 0 = none ever is.
    pub hedge_after: Millis,
    /// Longest wait before that.
    pub hedge_at_most: Millis,
}

impl Default for RawRetry {
    fn default() -> Self {
        Self {
            max_tries: MAX_TRIES,
            budget_percent: BUDGET_PERCENT,
            min_per_second: MIN_PER_SECOND,
            hedge_after: HEDGE_AFTER,
            hedge_at_most: HEDGE_AT_MOST,
        }
    }
}

/// How often a read is tried.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Nodes that one request is tried at, the first included.
    pub max_tries: u32,
    /// How many second tries all requests together may have.
    pub budget: BudgetConfig,
    /// When an answer is late; `None` = never.
    pub hedge: Option<LatenessConfig>,
}

impl Retries {
    pub(super) fn check(raw: &RawRetry, mistakes: &mut Mistakes) -> Self {
        let mut section = mistakes.section("retry");
        let max_tries = section.within("max_tries", raw.max_tries, 1..=10);
        let percent = section.within("budget_percent", raw.budget_percent, 0..=1_000);
        let floor = section.within("min_per_second", raw.min_per_second, 0..=10_000);
        let budget = section.take("budget_percent", BudgetConfig::new(percent, floor));
        let most = Millis::of(60_000);
        let after = section.within("hedge_after", raw.hedge_after, Millis::of(0)..=most);
        let at_most = section.within("hedge_at_most", raw.hedge_at_most, Millis::of(1)..=most);
        let lateness = section.take("hedge_at_most", LatenessConfig::new(after.0, at_most.0));
        let hedge = lateness.filter(|_| !after.0.is_zero());
        Self { max_tries, budget: budget.unwrap_or_default(), hedge }
    }
}

/// `[forward]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawForward {
    /// Networks whose `X-Forwarded-*` is believed, as `10.0.0.0/8` or single addresses.
    pub trusted_proxies: List,
    /// The gateway's name in `Via`.
    pub via: String,
}

impl Default for RawForward {
    fn default() -> Self {
        Self { trusted_proxies: List(Vec::new()), via: VIA.to_owned() }
    }
}

/// The checked section is the layer itself.
pub(super) fn check_forward(raw: &RawForward, mistakes: &mut Mistakes) -> ForwardLayer {
    let mut section = mistakes.section("forward");
    let mut trusted = Vec::new();
    for (i, text) in raw.trusted_proxies.0.iter().enumerate() {
        trusted.extend(section.take(format_args!("trusted_proxies[{i}]"), network(text)));
    }
    let layer = section.take("via", ForwardLayer::new().named(raw.via.trim()));
    layer.unwrap_or_default().trusting(trusted)
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
        format!("expected a network such as \"10.0.0.0/8\" or an address, found {text:?}")
    })
}
