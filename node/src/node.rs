//! A whole node in one value: started, asked for its address, drained.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kamaitachi_discovery::{
    etcd,
    register::{self, Registration},
};
use kamaitachi_serve::{
    BackOff,
    server::{Drained, Handle, Server},
    supervise,
};
use tokio::task::JoinSet;
use tower::service_fn;
use tracing::{error, info};

use crate::{
    api::{App, Core, Service},
    cache::{
        CacheLimits,
        snapshot::{SaveError, Saved, SnapshotFiles},
    },
    config::Config,
    lock::{DatabaseLock, LockError},
    memory::keep_below,
    query::Engine,
    snapshots::{Snapshots, keep_saving},
    store::{OpenError, Options, Store},
};

/// How often what has expired is dropped from the cache.
const PURGE: Duration = Duration::from_secs(60);

/// A running node. A process may run any number of them; they share nothing.
///
/// Dropping it stops it at once, without a last snapshot; [`drain`](Self::drain) is the way out.
#[derive(Debug)]
pub struct Node {
    app: Arc<App>,
    server: Handle,
    background: JoinSet<()>,
    registration: Option<Registration>,
    leave_wait: Duration,
    /// Given back last: until then nobody else may have the database.
    _lock: DatabaseLock,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The directory of the database can't be made.
    #[error("{}: cannot make the directory: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node has the database.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
}

impl Node {
    /// Starts a node: takes its address, answers "not yet" while it opens the database and loads
    /// the newest snapshot, and returns once it answers queries.
    ///
    /// Dropping the future takes everything back.
    ///
    /// # Errors
    /// The address is taken, another node has the database, or it can't be opened.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let address = SocketAddr::new(config.server.host, config.server.port);
        let refused = |source| StartError::Listen { address, source };
        let mut server = Server::new(address).name("node").limits(config.connections.clone());
        if let Some(workers) = config.server.workers {
            server = server.workers(workers);
        }
        let bound = server.bind().map_err(refused)?;
        let addr = config.server.service_addr.clone();
        let addr = addr.unwrap_or_else(|| bound.local_addr().to_string());
        let app = App::new(
            &addr,
            config.server.role.clone(),
            config.rules.clone(),
            config.limits.clone(),
        );
        let app = match config.peers.clone() {
            Some(peers) => app.with_peers(peers.found_by(config.etcd.as_ref(), &config.server)),
            None => app,
        };
        let app = Arc::new(app);
        let served = Arc::clone(&app);
        let server = bound
            .start(move |_worker| {
                let service = Service::new(Arc::clone(&served));
                move |_connection| {
                    let service = service.clone();
                    service_fn(move |request| {
                        let service = service.clone();
                        async move { Ok::<_, Infallible>(service.answer(request).await) }
                    })
                }
            })
            .map_err(refused)?;
        app.state().connections(server.counters());
        let (interval, memory) = (config.cache.snapshots.interval, config.limits.memory);
        let lock = lock(&config.database.path)?;
        let (etcd, name) = (config.etcd.clone(), config.server.service_name.clone());
        let leave_wait = config.server.leave_wait;
        let core = open(config).await?;
        let late = take_over(&app, &core).await;
        let registration = etcd.and_then(|etcd| register(etcd, name, &addr));
        if let Some(registration) = &registration {
            app.state().registration(registration.changes());
        }
        app.state().ready(core);
        let mut background = background(&app, interval, memory);
        background.spawn(late);
        Ok(Self { app, server, background, registration, leave_wait, _lock: lock })
    }

    /// The address it listens on, with the port that 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Resolves when a worker ends that was not told to. Cancel safe.
    pub async fn failed(&mut self) {
        self.server.failed().await;
    }

    /// What the node's workers share: its store, its engine, its counters.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The same, to be kept: for whoever composes services of their own over this node.
    #[must_use]
    pub fn shared_app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// Saves the cache now. `None` while the node has no cache yet.
    ///
    /// # Errors
    /// If the file can't be written. What was saved before is still there.
    pub async fn save_snapshot(&self) -> Option<Result<Saved, SaveError>> {
        let core = self.app.core()?;
        Some(core.snapshots.save(&core.engine).await)
    }

    /// Stops: tells that it takes no more traffic, deregisters and waits until word of it has gone
    /// round, stops accepting, finishes what is in flight until `cut` resolves, saves a last
    /// snapshot, closes the database.
    ///
    /// Dropping the future stops the node at once.
    pub async fn drain(mut self, cut: impl Future<Output = ()>) -> Drained {
        self.app.state().drain();
        let (registration, server) = (self.registration.take(), self.server);
        let leaving = async {
            let mut cut = std::pin::pin!(cut);
            let was_cut = tokio::select! {
                () = leave(registration, self.leave_wait) => false,
                () = &mut cut => true,
            };
            let cut = async {
                if !was_cut {
                    cut.await;
                }
            };
            server.drain_until(cut).await
        };
        let (drained, ()) = tokio::join!(leaving, pass_on(&self.app));
        self.background.shutdown().await;
        if let Some(core) = self.app.core() {
            // Told already; the next start does without.
            let _ = core.snapshots.save(&core.engine).await;
            core.store.close().await;
        }
        info!(addr = self.app.addr(), cut = drained.cut, "node stopped");
        drained
    }
}

/// Registers the node, from now on.
fn register(etcd: etcd::Settings, name: String, addr: &str) -> Option<Registration> {
    match addr.parse() {
        Ok(addr) => Some(Registration::start(etcd, register::Service { name, addr })),
        Err(error) => {
            // The configuration was checked, and so was what is listened on.
            error!(addr, %error, "the node cannot be registered");
            None
        }
    }
}

/// Takes the registration back, and waits until those who looked for this node know.
async fn leave(registration: Option<Registration>, wait: Duration) {
    let Some(registration) = registration else { return };
    let was_found = registration.standing().was_registered();
    registration.deregister().await;
    if was_found {
        tokio::time::sleep(wait).await;
    }
}

/// Makes the directory of the database, and takes the database for this node alone.
fn lock(path: &Path) -> Result<DatabaseLock, StartError> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .map_err(|source| StartError::Directory { path: dir.to_owned(), source })?;
    }
    Ok(DatabaseLock::take(path)?)
}

/// Opens the database, and what answers from it.
async fn open(config: Config) -> Result<Core, StartError> {
    let mut options = Options::new(&config.database.path);
    options.durability = config.database.durability;
    options.max_rows = config.limits.rows;
    options.look_over = config.database.start_check;
    if let Some(readers) = config.database.readers {
        options.readers = readers;
    }
    let store = Store::open(options).await?;
    let limits = CacheLimits { max_bytes: config.cache.max_bytes, ttl: config.cache.ttl };
    let engine = Engine::new(store.clone(), limits);
    store.observe(engine.observer());
    let files = SnapshotFiles::new(config.cache.snapshots.files);
    let snapshots = Snapshots::restore(&engine, files).await;
    Ok(Core { store, engine, snapshots })
}

/// Takes over from other nodes what this one owns from now on, before it says that it is ready.
/// What it is not new enough for yet is left to the task that is given back.
async fn take_over(app: &Arc<App>, core: &Core) -> impl Future<Output = ()> + Send + use<> {
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

/// Sends others what they own from now on.
async fn pass_on(app: &App) {
    if let (Some(peers), Some(core)) = (app.hand_over(), app.core()) {
        peers.pass_on(&core.engine, &core.store).await;
    }
}

/// What runs beside the workers, and comes back when it fails.
fn background(app: &Arc<App>, interval: Option<Duration>, memory: Option<u64>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let shared = Arc::clone(app);
    tasks.spawn(supervise("memory limit", BackOff::default(), move || {
        let app = Arc::clone(&shared);
        async move {
            keep_below(memory, &app).await;
            Ok::<_, Infallible>(())
        }
    }));
    let shared = Arc::clone(app);
    tasks.spawn(supervise("cache purge", BackOff::default(), move || {
        let app = Arc::clone(&shared);
        async move {
            let mut turns = tokio::time::interval(PURGE);
            while let Some(core) = app.core() {
                turns.tick().await;
                core.engine.purge_expired();
            }
            Ok::<_, Infallible>(())
        }
    }));
    let Some(interval) = interval else { return tasks };
    let shared = Arc::clone(app);
    tasks.spawn(supervise("cache snapshots", BackOff::default(), move || {
        let app = Arc::clone(&shared);
        async move {
            if let Some(core) = app.core() {
                keep_saving(&core.snapshots, &core.engine, interval).await;
            }
            Ok::<_, Infallible>(())
        }
    }));
    tasks
}
