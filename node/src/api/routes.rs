//! Every path of the API in one table: what [`Routes`] matches, what `Allow` says and what the
//! OpenAPI document must describe all come from it.

use http::Method;

use super::failure::Failure;
use crate::hand_over;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the operation of the same name in `TABLE`")]
pub enum Endpoint {
    Snapshot,
    Period,
    SelectionSnapshot,
    SelectionPeriod,
    Stats,
    CacheReset,
    Ingest,
    ListIndicators,
    RegisterIndicators,
    Save,
    Get,
    Search,
    Delete,
    Health,
    Healthz,
    Readyz,
    Metrics,
    OpenApi,
    HandOverPull,
    HandOverPush,
}

impl Endpoint {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 20] = [
        Self::Snapshot,
        Self::Period,
        Self::SelectionSnapshot,
        Self::SelectionPeriod,
        Self::Stats,
        Self::CacheReset,
        Self::Ingest,
        Self::ListIndicators,
        Self::RegisterIndicators,
        Self::Save,
        Self::Get,
        Self::Search,
        Self::Delete,
        Self::Health,
        Self::Healthz,
        Self::Readyz,
        Self::Metrics,
        Self::OpenApi,
        Self::HandOverPull,
        Self::HandOverPush,
    ];

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Period => "period",
            Self::SelectionSnapshot => "selection_snapshot",
            Self::SelectionPeriod => "selection_period",
            Self::Stats => "stats",
            Self::CacheReset => "cache_reset",
            Self::Ingest => "ingest",
            Self::ListIndicators => "list_indicators",
            Self::RegisterIndicators => "register_indicators",
            Self::Save => "save",
            Self::Get => "get",
            Self::Search => "search",
            Self::Delete => "delete",
            Self::Health => "health",
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
            Self::HandOverPull => "hand_over_pull",
            Self::HandOverPush => "hand_over_push",
        }
    }

    /// Whether it answers from the data, so that a client may want it as new as some revision.
    #[must_use]
    pub const fn reads_data(self) -> bool {
        matches!(
            self,
            Self::Snapshot
                | Self::Period
                | Self::SelectionSnapshot
                | Self::SelectionPeriod
                | Self::ListIndicators
                | Self::Get
                | Self::Search
        )
    }

    /// Whether it may take memory worth speaking of: all but what operators and probes ask.
    #[must_use]
    pub const fn takes_memory(self) -> bool {
        self.reads_data()
            || matches!(self, Self::Ingest | Self::RegisterIndicators | Self::Save | Self::Delete)
    }

    /// Whether it answers before the node is ready: everything that tells how the node is.
    #[must_use]
    pub const fn answers_early(self) -> bool {
        matches!(self, Self::Health | Self::Healthz | Self::Readyz | Self::Metrics | Self::OpenApi)
    }
}

/// One path with the operations it takes.
#[derive(Debug)]
pub struct Route {
    /// The path, with `{id}` for a part that varies.
    pub path: &'static str,
    /// The operation of each method.
    pub operations: &'static [(Method, Endpoint)],
    /// The `Allow` header: the methods above, `HEAD` where there is `GET`, and `OPTIONS`.
    pub allow: &'static str,
}

const fn get(path: &'static str, operations: &'static [(Method, Endpoint)]) -> Route {
    Route { path, operations, allow: "GET, HEAD, OPTIONS" }
}

const fn post(path: &'static str, operations: &'static [(Method, Endpoint)]) -> Route {
    Route { path, operations, allow: "POST, OPTIONS" }
}

/// Every path of a node. Each also answers with a trailing slash.
pub const TABLE: &[Route] = &[
    post("/kamaitachi/api/data/v1/snapshot", &[(Method::POST, Endpoint::Snapshot)]),
    post("/kamaitachi/api/data/v1/period", &[(Method::POST, Endpoint::Period)]),
    get("/kamaitachi/api/data/v1/stats", &[(Method::GET, Endpoint::Stats)]),
    post("/kamaitachi/api/data/v1/cache/reset", &[(Method::POST, Endpoint::CacheReset)]),
    post("/kamaitachi/api/data/v1/ingest", &[(Method::POST, Endpoint::Ingest)]),
    Route {
        path: "/kamaitachi/api/data/v1/indicators",
        operations: &[
            (Method::GET, Endpoint::ListIndicators),
            (Method::POST, Endpoint::RegisterIndicators),
        ],
        allow: "GET, HEAD, POST, OPTIONS",
    },
    post("/kamaitachi/api/selection/v1/snapshot", &[(Method::POST, Endpoint::SelectionSnapshot)]),
    post("/kamaitachi/api/selection/v1/period", &[(Method::POST, Endpoint::SelectionPeriod)]),
    post("/data/v1/save", &[(Method::POST, Endpoint::Save)]),
    get("/data/v1/get/{id}", &[(Method::GET, Endpoint::Get)]),
    post("/data/v1/search", &[(Method::POST, Endpoint::Search)]),
    Route {
        path: "/data/v1/delete/{id}",
        operations: &[(Method::DELETE, Endpoint::Delete)],
        allow: "DELETE, OPTIONS",
    },
    get("/health", &[(Method::GET, Endpoint::Health)]),
    get("/healthz", &[(Method::GET, Endpoint::Healthz)]),
    get("/readyz", &[(Method::GET, Endpoint::Readyz)]),
    get("/metrics", &[(Method::GET, Endpoint::Metrics)]),
    get("/openapi.json", &[(Method::GET, Endpoint::OpenApi)]),
];

/// What nodes ask of each other. No part of the API, and not there for anyone else: a node without
/// peers does not know these paths, nor does one for a request that came through a proxy.
const INTERNAL: &[Route] = &[
    post(hand_over::PULL, &[(Method::POST, Endpoint::HandOverPull)]),
    post(hand_over::PUSH, &[(Method::POST, Endpoint::HandOverPush)]),
];

/// What some path or other takes: the answer to `OPTIONS *` (RFC 9110, 9.3.7).
const ALL: &str = "GET, HEAD, POST, DELETE, OPTIONS";

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'p> {
    /// To an endpoint, with the still encoded `{id}` of its path, if it has one.
    Endpoint(Endpoint, Option<&'p str>),
    /// Nowhere: the client asks what the path takes.
    Options {
        /// The `Allow` header.
        allow: &'static str,
    },
}

/// Finds the endpoint of a request. Matching allocates nothing.
#[derive(Clone, Debug)]
pub struct Routes {
    paths: matchit::Router<&'static Route>,
}

impl Routes {
    /// The routes of [`TABLE`], and those between nodes.
    ///
    /// # Panics
    /// Never: the table holds no conflict, as a test proves.
    #[must_use]
    pub fn new() -> Self {
        let mut paths = matchit::Router::new();
        for route in TABLE.iter().chain(INTERNAL) {
            paths.insert(route.path, route).expect("the table holds no conflict");
        }
        Self { paths }
    }

    /// Where `method` on `path` goes. One trailing slash is looked past.
    ///
    /// # Errors
    /// [`Failure::UnknownPath`] and [`Failure::MethodNotAllowed`].
    pub fn find<'p>(&self, method: &Method, path: &'p str) -> Result<Destination<'p>, Failure> {
        if path == "*" && method == Method::OPTIONS {
            return Ok(Destination::Options { allow: ALL });
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let found = self.paths.at(path).map_err(|_| Failure::UnknownPath)?;
        let route = *found.value;
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        if let Some((_, endpoint)) = route.operations.iter().find(|(method, _)| method == wanted) {
            return Ok(Destination::Endpoint(*endpoint, found.params.get("id")));
        }
        if method == Method::OPTIONS {
            return Ok(Destination::Options { allow: route.allow });
        }
        Err(Failure::MethodNotAllowed { allow: route.allow })
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_answers_with_and_without_a_trailing_slash() {
        let routes = Routes::new();
        for route in TABLE {
            let path = route.path.replace("{id}", "33%3A000001");
            for (method, endpoint) in route.operations {
                for path in [path.clone(), format!("{path}/")] {
                    let id = route.path.contains("{id}").then_some("33%3A000001");
                    let wanted = Destination::Endpoint(*endpoint, id);
                    assert_eq!(routes.find(method, &path), Ok(wanted), "{method} {path}");
                }
                assert_eq!(routes.find(method, &format!("{path}//")), Err(Failure::UnknownPath));
            }
        }
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        let routes = Routes::new();
        for route in TABLE {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
                let allowed = route.allow.split(", ").any(|allow| method == allow);
                match routes.find(&method, route.path) {
                    Ok(_) => assert!(allowed, "{method} {}", route.path),
                    Err(failure) => {
                        assert!(!allowed, "{method} {}", route.path);
                        assert_eq!(failure, Failure::MethodNotAllowed { allow: route.allow });
                    }
                }
            }
            let options = Destination::Options { allow: route.allow };
            assert_eq!(routes.find(&Method::OPTIONS, route.path), Ok(options));
        }
    }

    #[test]
    fn a_question_about_the_whole_is_told_every_method_that_is_somewhere() {
        let found = Routes::new().find(&Method::OPTIONS, "*");
        assert_eq!(found, Ok(Destination::Options { allow: ALL }));
        for route in TABLE {
            let is_there = |one| ALL.split(", ").any(|all| all == one);
            assert!(route.allow.split(", ").all(is_there), "{}", route.path);
        }
    }

    #[test]
    fn every_endpoint_has_its_number_and_a_path() {
        for (number, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint as usize, number);
            let mut operations = TABLE.iter().chain(INTERNAL).flat_map(|route| route.operations);
            assert!(operations.any(|(_, found)| *found == endpoint), "{endpoint:?}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_unknown() {
        let routes = Routes::new();
        for path in ["", "/", "/nope", "/data/v1/get/", "/data/v1/get", "/HEALTH", "/health/x", "*"]
        {
            assert_eq!(routes.find(&Method::GET, path), Err(Failure::UnknownPath), "{path}");
        }
    }
}
