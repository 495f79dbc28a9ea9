//! Opening what a node answers from, at the start and in the place of what it answered from.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    api::{App, Core},
    cache::{
        CacheLimits,
        snapshot::{SnapshotFiles, SnapshotOptions},
    },
    config::{Config, Role},
    query::Engine,
    replication::{self, Seat},
    snapshots::Snapshots,
    store::{Mark, OpenError, Options, Store, Totals},
};

/// How a node opens its database.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    options: Options,
    cache: CacheLimits,
    snapshots: Arc<SnapshotOptions>,
}

impl Opening {
    pub(crate) fn new(config: Config) -> Self {
        let mut options = Options::new(&config.database.path);
        options.durability = config.database.durability;
        options.max_rows = config.limits.rows;
        options.look_over = config.database.start_check;
        options.log = config.log_limits;
        options.follows = matches!(config.server.role, Role::Slave { master: Some(_) });
        if let Some(readers) = config.database.readers {
            options.readers = readers;
        }
        let cache = CacheLimits { max_bytes: config.cache.max_bytes, ttl: config.cache.ttl };
        Self { options, cache, snapshots: Arc::new(config.cache.snapshots.files) }
    }

    /// Opens the database, and what answers from it.
    pub(crate) async fn open(&self) -> Result<Core, OpenError> {
        let store = Store::open(self.options.clone()).await?;
        let engine = Engine::new(store.clone(), self.cache);
        store.observe(engine.observer());
        let files = SnapshotFiles::new(Arc::clone(&self.snapshots));
        let snapshots = Snapshots::restore(&engine, files).await;
        Ok(Core { store, engine, snapshots })
    }

    /// The same for a slave's own file; `None` where there is nothing in it to answer from, and
    /// no copy of its master's was ever there either.
    pub(crate) async fn open_if_any(&self) -> Result<Option<Core>, OpenError> {
        let size = std::fs::metadata(&self.options.path).map_or(0, |file| file.len());
        if size == 0 {
            return Ok(None);
        }
        let core = self.open().await?;
        if core.store.mark().lineage.is_empty() && core.store.totals() == Totals::default() {
            core.store.close().await;
            return Ok(None);
        }
        Ok(Some(core))
    }
}

/// The place of a slave's store in its node.
#[derive(Debug)]
pub(crate) struct NodeSeat {
    pub(crate) app: Arc<App>,
    pub(crate) opening: Opening,
}

impl NodeSeat {
    fn path(&self) -> &Path {
        &self.opening.options.path
    }
}

impl Seat for NodeSeat {
    fn store(&self) -> Option<Store> {
        self.app.core().map(|core| core.store.clone())
    }

    fn incoming(&self) -> PathBuf {
        replication::incoming(self.path())
    }

    /// Requests that come in between are told to try again; that is as long as closing and opening
    /// take, and other nodes to hand over what this one owns, not as long as copying took.
    async fn replace(&self, mark: &Mark) -> Result<(), String> {
        let before = self.app.state().unready();
        let mut aside = true;
        if let Some(core) = before {
            let (was, totals) = (core.store.mark(), core.store.totals());
            // An older state of the same history has nothing that the new one has not.
            aside = was.lineage != mark.lineage && totals != Totals::default();
            core.store.close().await;
            let retiring = tokio::task::spawn_blocking(move || core.snapshots.retire());
            retiring.await.map_err(|error| error.to_string())?;
        }
        let (from, to) = (self.incoming(), self.path().to_owned());
        let installing =
            tokio::task::spawn_blocking(move || replication::install(&from, &to, aside));
        let installed = installing.await.map_err(|error| error.to_string());
        let installed = installed.and_then(|done| done.map_err(|error| error.to_string()));
        // Whatever is there now is better than nothing.
        let core = self.opening.open().await.map_err(|error| error.to_string())?;
        tokio::spawn(take_over(&self.app, &core).await);
        self.app.state().ready(core);
        installed
    }
}

/// Takes over from other nodes what this one owns from now on, before it says that it is ready.
/// What it is not new enough for yet is left to the task that is given back.
pub(crate) async fn take_over(
    app: &Arc<App>,
    core: &Core,
) -> impl Future<Output = ()> + Send + use<> {
    let (engine, store) = (core.engine.clone(), core.store.clone());
    let peers = app.hand_over().cloned();
    let late = match &peers {
        Some(peers) => peers.fetch(&engine, &store).await,
        None => Vec::new(),
    };
    async move {
        if let Some(peers) = peers {
            peers.take_late(late, &engine, &store).await;
        }
    }
}
