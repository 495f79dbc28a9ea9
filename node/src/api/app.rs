//! What the workers of one node share.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderValue;
use prometheus_client::{metrics::info::Info, registry::Registry};
use tokio::sync::Semaphore;

use super::{
    failure::{Failure, Unready},
    metrics::Requests,
    request::{Reader, Rules},
    routes::{Endpoint, Routes},
    state::{Core, State},
};
use crate::{
    config::{Limits, Role},
    group::InvalidPeers,
    hand_over::{self, HandOver},
    memory::Pressure,
    model::{Indicators, Revision},
    subjects::{self, Subjects},
};

/// How long a read waits for what is preferred, and no more than preferred.
const MOMENT: Duration = Duration::from_millis(250);

/// Bytes that one permit of [`App::bulk`] stands for.
pub(super) const BULK_UNIT: u64 = 1 << 10;

/// One node as its workers see it. What answers queries comes in once it is open, so that a node
/// can say "not yet" from the moment it listens.
pub struct App {
    /// Address under which others reach it.
    pub(super) addr: String,
    /// The same, as answers carry it.
    pub(super) addr_header: HeaderValue,
    pub(super) role: Role,
    pub(super) rules: Rules,
    pub(super) limits: Limits,
    pub(super) routes: Routes,
    pub(super) requests: Arc<Requests>,
    pub(super) registry: Registry,
    /// Bounds the memory of bulk bodies under way to two of the largest.
    pub(super) bulk: Semaphore,
    hand_over: Option<Arc<HandOver>>,
    subjects: Option<Arc<Subjects>>,
    state: Arc<State>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("addr", &self.addr)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl App {
    /// A node that is still starting.
    #[must_use]
    pub fn new(addr: &str, role: Role, rules: Rules, limits: Limits) -> Self {
        let state = Arc::new(State::new());
        let requests = Arc::new(Requests::default());
        let mut registry = Registry::default();
        let build = [("version", env!("CARGO_PKG_VERSION")), ("mode", role.name())];
        registry.register("kamaitachi_node_build", "What runs here", Info::new(build));
        registry.register_collector(Box::new(Arc::clone(&requests)));
        registry.register_collector(Box::new(Arc::clone(&state)));
        let permits = usize::try_from(2 * limits.ingest_body.div_ceil(BULK_UNIT));
        Self {
            addr: addr.to_owned(),
            addr_header: HeaderValue::from_str(addr)
                .unwrap_or(HeaderValue::from_static("kamaitachi-node")),
            role,
            rules,
            routes: Routes::new(),
            requests,
            registry,
            bulk: Semaphore::new(permits.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)),
            limits,
            hand_over: None,
            subjects: None,
            state,
        }
    }

    /// With peers, to which it hands over what it has cached and from which it takes over.
    #[must_use]
    pub fn with_peers(mut self, settings: hand_over::Settings) -> Self {
        let peers = Arc::new(HandOver::new(&self.addr, settings));
        self.registry.register_collector(Box::new(Arc::clone(&peers)));
        self.hand_over = Some(peers);
        self
    }

    /// As a member of the group by which the master's writes delete what slaves remember.
    ///
    /// # Errors
    /// The shared token can't be sent.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn with_group(mut self, settings: subjects::Settings) -> Result<Self, InvalidPeers> {
        let subjects = Subjects::join(&self.addr, &self.state, settings)?;
        subjects.register(&mut self.registry);
        self.subjects = Some(Arc::new(subjects));
        Ok(self)
    }

    pub(crate) fn subjects(&self) -> Option<&Arc<Subjects>> {
        self.subjects.as_ref()
    }

    pub(crate) fn hand_over(&self) -> Option<&Arc<HandOver>> {
        self.hand_over.as_ref()
    }

    /// Where the node is in its life.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether it takes writes.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The address under which others reach the node.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// What answers, if the node is that far.
    #[must_use]
    pub fn core(&self) -> Option<Arc<Core>> {
        self.state.core()
    }

    pub(crate) fn core_or_refuse(&self) -> Result<Arc<Core>, Failure> {
        self.core().ok_or(Failure::NotReady(Unready::Starting))
    }

    /// Passes once the node is as new as `wanted`, which it waits for a while.
    ///
    /// Cancel safe: nothing is changed.
    pub(super) async fn expect_revision(&self, wanted: Revision) -> Result<(), Failure> {
        let store = self.core_or_refuse()?.store.clone();
        let reached = store.reached(wanted);
        if tokio::time::timeout(self.limits.revision_wait, reached).await.is_ok() {
            return Ok(());
        }
        Err(Failure::Behind { revision: store.confirmed(), wanted })
    }

    /// Waits a moment until the node is as new as `wanted`, and passes all the same.
    ///
    /// Cancel safe: nothing is changed.
    pub(super) async fn prefer_revision(&self, wanted: &HeaderValue) {
        let wanted = wanted.to_str().ok().and_then(|text| text.parse::<Revision>().ok());
        if let (Some(wanted), Some(core)) = (wanted, self.core()) {
            let store = core.store.clone();
            let _ =
                tokio::time::timeout(MOMENT.min(self.limits.revision_wait), store.reached(wanted))
                    .await;
        }
    }

    /// Passes while there is memory for what such a request may take.
    pub(super) fn expect_memory(&self, endpoint: Endpoint) -> Result<(), Failure> {
        let refused = match self.state.memory().pressure() {
            Pressure::None | Pressure::Low => false,
            Pressure::High => endpoint == Endpoint::Ingest,
            Pressure::Critical => endpoint.takes_memory(),
        };
        if refused {
            return Err(Failure::Busy("the node is short of memory; try again"));
        }
        Ok(())
    }

    /// Passes on a master alone.
    pub(super) fn expect_master(&self) -> Result<(), Failure> {
        match &self.role {
            Role::Master => Ok(()),
            Role::Slave { master } => Err(Failure::NotMaster {
                master: master.clone().unwrap_or_else(|| {
                    "an address this slave was not told ([replication] master)".into()
                }),
            }),
        }
    }

    pub(super) fn reader<'r>(&'r self, indicators: &'r Indicators) -> Reader<'r> {
        Reader { rules: &self.rules, indicators }
    }
}
