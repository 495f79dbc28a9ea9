//! `[routes.NAME]`: which requests go where, and what they pass on the way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kamaitachi_layers::{
    key::{KeyLayer, KeySource, KeySources},
    rewrite::RewriteLayer,
    route::{Methods, Table},
};
use kamaitachi_policies::quota::Quota;
use kamaitachi_serve::{
    config::{List, Mistakes, Seconds, Section, Size},
    limits::Limits,
};
use serde::{Deserialize, Serialize};

use super::{defaults, upstream::SHORTEST};

/// Longest name of a route: it is a label of metrics and part of the names of breakers.
const LONGEST_NAME: usize = 64;
/// Bodies that a layer reads are held in memory.
const LARGEST_BUFFERED: u64 = 64 << 20;
/// The longest body of all.
const LARGEST: u64 = 1 << 40;
/// A burst that no counter overflows at.
const LARGEST_BURST: u32 = 10_000_000;

/// One route as written; what is absent keeps its compiled-in value, or the one for new routes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct RawRoute {
    /// `false` takes out a route that is compiled in.
    pub enabled: Option<bool>,
    /// Path patterns: static segments, `{name}` for one segment, `/*` at the end for the rest.
    pub paths: Option<List>,
    /// Methods; empty = any, for the node to decide.
    #[serde(serialize_with = "as_null")]
    pub methods: Option<List<Methods>>,
    /// Which nodes answer.
    pub target: Option<Target>,
    /// Prefix taken off the path before it is forwarded; empty = none.
    pub strip_prefix: Option<String>,
    /// Requests a second; 0 = not limited.
    pub rate: Option<u32>,
    /// Requests at once.
    pub burst: Option<u32>,
    /// Whether failing nodes are left alone for a while.
    pub breaker: Option<bool>,
    /// Where the ring's key is looked for, in this order.
    #[serde(serialize_with = "as_null")]
    pub keys: Option<List<KeySource>>,
    /// Which node is asked about the subjects of a request.
    pub locality: Option<Locality>,
    /// Whether a request that a node did not take goes to the next one of the ring.
    pub retry: Option<bool>,
    /// Longest body of a request.
    pub max_body: Option<Size>,
    /// Longest wait for the head of an answer.
    pub timeout: Option<Seconds>,
}

/// For types that have no serde form; whoever lists the keys of a route wants their names.
fn as_null<T, S: serde::Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}

/// Which nodes answer a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The owner of the request's key among `upstream.nodes`.
    Ring,
    /// `upstream.master`.
    Master,
}

/// Which node is asked about the subjects of a request that names several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locality {
    /// The owner of the request's key, about all of them.
    #[default]
    FirstSubject,
    /// The owner of each, about its own; see [`scatter`](crate::scatter).
    PerSubject,
}

/// One route, checked.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Its name, in metrics and in the names of breakers.
    pub name: Arc<str>,
    /// Path patterns.
    pub paths: Vec<String>,
    /// Methods.
    pub methods: Methods,
    /// Which nodes answer.
    pub target: Target,
    /// What is done to the path.
    pub rewrite: Option<RewriteLayer>,
    /// How often it may be asked.
    pub quota: Option<Quota>,
    /// Whether failing nodes are left alone for a while.
    pub breaker: bool,
    /// Where the ring's key is looked for.
    pub keys: KeySources,
    /// Which node is asked about the subjects of a request.
    pub locality: Locality,
    /// Whether a request that a node did not take goes to the next one of the ring.
    pub retry: bool,
    /// Longest body of a request, in bytes.
    pub max_body: u64,
    /// Longest wait for the head of an answer.
    pub timeout: Duration,
}

/// All routes: those compiled in, changed by those of the file, and the file's own, ordered by name.
pub(super) fn check(
    raw: BTreeMap<String, RawRoute>,
    timeout: Duration,
    mistakes: &mut Mistakes,
) -> Vec<RouteConfig> {
    let mut merged: BTreeMap<String, RawRoute> = defaults::routes().collect();
    for (name, given) in raw {
        let route = merged.entry(name).or_default();
        *route = given.over(std::mem::take(route));
    }
    let mut routes = Vec::new();
    for (name, raw) in merged {
        if raw.enabled != Some(false) {
            routes.push(RouteConfig::check(&name, raw, timeout, mistakes));
        }
    }
    check_table(&routes, mistakes);
    routes
}

/// Whether the routes can be told apart from each other and from the gateway's own paths.
fn check_table(routes: &[RouteConfig], mistakes: &mut Mistakes) {
    let own = crate::own::PATHS.iter().map(|path| (*path, Methods::ANY));
    let mut good: Vec<(&str, Methods)> = own.collect();
    for route in routes {
        for path in &route.paths {
            good.push((path, route.methods));
            let table = good.iter().fold(Table::builder(), |t, (path, m)| t.route(*path, *m, ()));
            if let Err(error) = table.build() {
                good.pop();
                mistakes.add(format_args!("routes.{}.paths", route.name), error);
            }
        }
    }
}

impl RawRoute {
    /// `self` where it says something, `below` where not.
    fn over(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            paths: self.paths.or(below.paths),
            methods: self.methods.or(below.methods),
            target: self.target.or(below.target),
            strip_prefix: self.strip_prefix.or(below.strip_prefix),
            rate: self.rate.or(below.rate),
            burst: self.burst.or(below.burst),
            breaker: self.breaker.or(below.breaker),
            keys: self.keys.or(below.keys),
            locality: self.locality.or(below.locality),
            retry: self.retry.or(below.retry),
            max_body: self.max_body.or(below.max_body),
            timeout: self.timeout.or(below.timeout),
        }
    }
}

impl RouteConfig {
    /// Finds the key; a body that it has to read is to be there within the time that `limits` leave to the longest one. They
    /// are held to, by the bytes that came, where the body is read.
    #[must_use]
    pub fn key(&self, limits: &Limits) -> KeyLayer {
        let max_buffer = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        let earned = Duration::from_secs(self.max_body.div_ceil(limits.body_rate.max(1)));
        let deadline = limits.body_timeout.saturating_add(earned);
        KeyLayer::new(self.keys.clone()).limit(max_buffer).deadline(deadline)
    }

    fn check(name: &str, raw: RawRoute, timeout: Duration, mistakes: &mut Mistakes) -> Self {
        let is_name = (1..=LONGEST_NAME).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if !is_name {
            let reason = "expected a name of 1 to 64 of the characters a-z, 0-9, _ and -";
            mistakes.add(format_args!("routes.{name}"), reason);
        }
        let mut section = mistakes.section(format_args!("routes.{name}"));
        let paths = raw.paths.map_or_else(Vec::new, |paths| paths.0);
        section.require(
            "paths",
            !paths.is_empty(),
            "expected one path pattern at least, such as \"/data/v1/*\"",
        );
        let rewrite = match raw.strip_prefix.as_deref().map_or("", str::trim) {
            "" => None,
            prefix => section.take("strip_prefix", RewriteLayer::strip(prefix)),
        };
        let target = raw.target.unwrap_or(Target::Ring);
        let keys = raw.keys.map_or_else(|| defaults::keys(target), |keys| keys.0);
        let reads_body = keys.iter().any(|source| matches!(source, KeySource::Body(_)));
        let largest = if reads_body { LARGEST_BUFFERED } else { LARGEST };
        let max_body = raw.max_body.unwrap_or(defaults::MAX_BODY);
        let max_body = section.within("max_body", max_body, Size(0)..=Size(largest)).0;
        let retry = raw.retry.unwrap_or(false);
        section.require(
            "retry",
            !retry || target == Target::Ring,
            "is for the ring alone: there is one master",
        );
        let locality = raw.locality.unwrap_or_default();
        section.require(
            "locality",
            locality == Locality::FirstSubject || (target == Target::Ring && reads_body),
            "\"per-subject\" is for the ring alone, and for keys from the body",
        );
        let timeout = raw.timeout.map_or(timeout, |timeout| {
            section.within("timeout", timeout, SHORTEST..=Seconds::of(86_400)).into()
        });
        let keys = section.take("keys", KeySources::new(keys)).unwrap_or_else(no_keys);
        let quota = check_quota(raw.rate, raw.burst, &mut section);
        let methods = raw.methods.map_or_else(Vec::new, |methods| methods.0);
        Self {
            name: name.into(),
            paths,
            methods: methods.into_iter().reduce(|a, b| a | b).unwrap_or(Methods::ANY),
            target,
            rewrite,
            quota,
            breaker: raw.breaker.unwrap_or(true),
            keys,
            locality,
            retry,
            max_body,
            timeout,
        }
    }
}

fn no_keys() -> KeySources {
    KeySources::new([]).expect("no sources have no names that could be wrong")
}

fn check_quota(rate: Option<u32>, burst: Option<u32>, section: &mut Section<'_>) -> Option<Quota> {
    let is_given = rate.is_some();
    let rate = section.within("rate", rate.unwrap_or(defaults::RATE), 0..=Quota::MAX_RATE);
    if rate == 0 {
        return None;
    }
    let default = if is_given { rate } else { defaults::BURST };
    let burst = section.within("burst", burst.unwrap_or(default), 1..=LARGEST_BURST);
    section.take("rate", Quota::new(rate, burst))
}
