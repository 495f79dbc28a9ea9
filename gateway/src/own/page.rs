//! Which pages there are.

use kamaitachi_layers::route::Methods;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The statistics of all nodes.
    Stats,
    /// A reset of all nodes' caches.
    Reset,
    /// Who the nodes are.
    Health,
    /// Whether the process is alive.
    Healthz,
    /// Whether it can serve.
    Readyz,
    /// The breakers.
    Breakers,
    /// The gateway as a whole.
    Status,
    /// The contract.
    OpenApi,
    /// The metrics; on the admin listener only.
    Metrics,
}

/// The pages of the public listener.
pub const PAGES: [Page; 8] = [
    Page::Stats,
    Page::Reset,
    Page::Health,
    Page::Healthz,
    Page::Readyz,
    Page::Breakers,
    Page::Status,
    Page::OpenApi,
];

/// The pages of the admin listener.
pub const ADMIN_PAGES: [Page; 9] = [
    Page::Metrics,
    Page::Stats,
    Page::Reset,
    Page::Health,
    Page::Healthz,
    Page::Readyz,
    Page::Breakers,
    Page::Status,
    Page::OpenApi,
];

/// The paths of the public pages, which no route can have.
pub const PATHS: [&str; PAGES.len()] = {
    let mut paths = [""; PAGES.len()];
    let mut i = 0;
    while i < PAGES.len() {
        paths[i] = PAGES[i].path();
        i += 1;
    }
    paths
};

impl Page {
    /// Where it is.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Stats => "/kamaitachi/api/data/v1/stats",
            Self::Reset => "/kamaitachi/api/data/v1/cache/reset",
            Self::Health => "/health",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
            Self::Breakers => "/monitor/circuitbreaker",
            Self::Status => "/monitor/status",
            Self::OpenApi => "/openapi.json",
            Self::Metrics => "/metrics",
        }
    }

    /// How it is asked for.
    #[must_use]
    pub const fn methods(self) -> Methods {
        match self {
            Self::Reset => Methods::POST,
            Self::Stats
            | Self::Health
            | Self::Healthz
            | Self::Readyz
            | Self::Breakers
            | Self::Status
            | Self::OpenApi
            | Self::Metrics => Methods::GET,
        }
    }
}
