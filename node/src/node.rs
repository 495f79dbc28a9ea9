//! A whole node in one value: started, asked for its address, drained.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Request;
use http_body_util::Either;
use kamaitachi_discovery::{
    Origin, etcd, follow,
    register::{self, Registration},
};
use kamaitachi_serve::{
    BackOff,
    server::{Bound, Drained, Handle, Incoming, Server},
    supervise,
};
use tokio::task::JoinSet;
use tower::service_fn;
use tracing::{error, info};

use crate::{
    api::{App, Service},
    cache::snapshot::{SaveError, Saved},
    config::{Config, Role},
    group::{GroupService, InvalidPeers},
    lock::{DatabaseLock, LockError},
    memory::keep_below,
    open::{NodeSeat, Opening, take_over},
    replication::{Feed, Follower, Http, PREFIX, Replication},
    snapshots::keep_saving,
    store::OpenError,
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
    feed: Arc<Feed>,
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
    /// The other nodes can't be told what they want to know.
    #[error("[peers]: {0}")]
    Peers(#[from] InvalidPeers),
}

impl Node {
    /// Starts a node: takes its address, answers "not yet" while it opens the database and loads
    /// the newest snapshot, and returns once it answers queries. For a slave that has a master and
    /// nothing in its file that is once it has a copy, however long the master takes.
    ///
    /// Dropping the future takes everything back.
    ///
    /// # Errors
    /// The address is taken, another node has the database, or it can't be opened.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let bound = bind(&config)?;
        let addr = config.server.service_addr.clone();
        let addr = addr.unwrap_or_else(|| bound.local_addr().to_string());
        find_peers(&mut config);
        let app = Arc::new(app_of(&addr, &config)?);
        let beside = config.database.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let beside = beside.unwrap_or(Path::new("."));
        let feed = Arc::new(Feed::new(config.replication.clone(), beside.to_owned()));
        if config.server.role == Role::Master {
            app.state().replicates(Replication::Master(Arc::clone(&feed)));
        }
        let server = serve(bound, &app, &feed)
            .map_err(|source| StartError::Listen { address: listens(&config), source })?;
        app.state().connections(server.counters());
        let (interval, memory) = (config.cache.snapshots.interval, config.limits.memory);
        let lock = lock(&config.database.path)?;
        let (etcd, name) = (config.etcd.clone(), config.server.service_name.clone());
        let leave_wait = config.server.leave_wait;
        app.state().registers(etcd.is_some());
        let mut background = background(&app, interval, memory);
        open(&app, config, &mut background).await?;
        let registration = etcd.and_then(|etcd| register(etcd, name, &addr));
        app.state().registers(registration.is_some());
        if let Some(registration) = &registration {
            app.state().registration(registration.changes());
        }
        Ok(Self { app, server, feed, background, registration, leave_wait, _lock: lock })
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
        self.feed.stop();
        if let Some(subjects) = self.app.subjects() {
            subjects.stop();
        }
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

/// Has the other nodes looked for, once for all who deal with them: those that etcd knows, where it
/// is configured; those listed are a beginning then.
fn find_peers(config: &mut Config) {
    let Config { etcd: Some(etcd), peers, subjects, .. } = config else { return };
    let (nodes, service) = match (&*peers, &*subjects) {
        (Some(peers), _) => (peers.nodes.now(), &peers.service),
        (None, Some(subjects)) => (subjects.nodes.now(), &subjects.service),
        (None, None) => return,
    };
    let service = follow::Settings { origin: Origin::Static, ..follow::Settings::new(service) };
    let found = follow::start(etcd.clone(), service, nodes.to_vec());
    if let Some(peers) = peers {
        peers.nodes = found.clone();
    }
    if let Some(subjects) = subjects {
        subjects.nodes = found;
    }
}

/// What the workers of the node share.
fn app_of(addr: &str, config: &Config) -> Result<App, StartError> {
    let (role, rules) = (config.server.role.clone(), config.rules.clone());
    let mut app = App::new(addr, role, rules, config.limits.clone());
    if let Some(peers) = config.peers.clone() {
        app = app.with_peers(peers);
    }
    if let Some(subjects) = config.subjects.clone() {
        app = app.with_group(subjects)?;
    }
    Ok(app)
}

/// Begins to answer: clients, slaves that are fed, and the group's peers.
fn serve(bound: Bound, app: &Arc<App>, feed: &Arc<Feed>) -> io::Result<Handle> {
    let (served, fed) = (Arc::clone(app), Arc::clone(feed));
    bound.start(move |_worker| {
        let service = Service::new(Arc::clone(&served));
        let (app, feed) = (Arc::clone(&served), Arc::clone(&fed));
        move |_connection| {
            let service = service.clone();
            let (app, feed) = (Arc::clone(&app), Arc::clone(&feed));
            service_fn(move |request: Request<Incoming>| {
                let service = service.clone();
                let path = request.uri().path();
                let fed = path.starts_with(PREFIX).then(|| feed.answer(&app, &request));
                let group = app.subjects().filter(|_| path.starts_with(GroupService::PREFIX));
                let group = group.cloned();
                async move {
                    Ok::<_, Infallible>(match (fed, group) {
                        (Some(fed), _) => fed.map(Either::Right),
                        // Boxed, so that an ordinary answer's future stays small.
                        (None, Some(group)) => Box::pin(async move { group.answer(request).await })
                            .await
                            .map(Either::Right),
                        (None, None) => service.answer(request).await.map(Either::Left),
                    })
                }
            })
        }
    })
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
    registration.deregister().await;
    // Whether it was ever there, others may know before it is told itself.
    tokio::time::sleep(wait).await;
}

/// The address that a node is told to listen on.
fn listens(config: &Config) -> SocketAddr {
    SocketAddr::new(config.server.host, config.server.port)
}

/// Takes the node's address.
fn bind(config: &Config) -> Result<Bound, StartError> {
    let address = listens(config);
    let mut server = Server::new(address).name("node").limits(config.connections.clone());
    if let Some(workers) = config.server.workers {
        server = server.workers(workers);
    }
    server.bind().map_err(|source| StartError::Listen { address, source })
}

/// Makes the directory of the database, and takes the database for this node alone.
fn lock(path: &Path) -> Result<DatabaseLock, StartError> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .map_err(|source| StartError::Directory { path: dir.to_owned(), source })?;
    }
    Ok(DatabaseLock::take(path)?)
}

/// Makes the node ready: from its file, or once it has a copy of its master's.
async fn open(app: &Arc<App>, config: Config, tasks: &mut JoinSet<()>) -> Result<(), StartError> {
    let (settings, role) = (config.replication.clone(), config.server.role.clone());
    let opening = Opening::new(config);
    let Role::Slave { master: Some(master) } = role else {
        let core = opening.open().await?;
        if let Some(subjects) = app.subjects().filter(|_| *app.role() == Role::Master) {
            core.store.observe(subjects.observer());
        }
        tasks.spawn(take_over(app, &core).await);
        app.state().ready(core);
        return Ok(());
    };
    // What is there serves at once, whether the master can be reached or not.
    if let Some(core) = opening.open_if_any().await? {
        tasks.spawn(take_over(app, &core).await);
        app.state().ready(core);
    }
    let transport = Http::new(&master, app.addr(), &settings);
    let seat = NodeSeat { app: Arc::clone(app), opening };
    let follower = Follower::new(transport, seat, settings, &master);
    app.state().replicates(Replication::from(&follower));
    tasks.spawn(async move { follower.run().await });
    app.state().became_ready().await;
    Ok(())
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
            keep_purging(&app).await;
            Ok::<_, Infallible>(())
        }
    }));
    let Some(interval) = interval else { return tasks };
    let shared = Arc::clone(app);
    tasks.spawn(supervise("cache snapshots", BackOff::default(), move || {
        let app = Arc::clone(&shared);
        async move {
            keep_saving(&app, interval).await;
            Ok::<_, Infallible>(())
        }
    }));
    tasks
}

/// Drops now and then what has expired.
async fn keep_purging(app: &App) {
    let mut turns = tokio::time::interval(PURGE);
    loop {
        turns.tick().await;
        if let Some(core) = app.core() {
            core.engine.purge_expired();
        }
    }
}
