//! What was known last, on disk: so that a gateway starts while etcd is down.
//!
//! The file is written whole to a temporary one beside it, synced, and renamed over the old one, so that there is always
//! a complete one. Nothing in it can keep a process from starting: what can't be read is as good as nothing.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kamaitachi_serve::supervise;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::{
    Found, Health, Membership, NodeAddr, Origin,
    allow::{Allow, host_addresses},
    follow::BACK_OFF,
    view::MOST_NODES,
};

/// A thousand addresses of the longest kind, several times over.
const LONGEST: u64 = 1 << 20;

/// The form of the file.
const VERSION: u32 = 1;

#[derive(Debug, Default, Deserialize, Serialize)]
struct Copy {
    version: u32,
    saved_at: u64,
    services: BTreeMap<String, Vec<String>>,
}

/// What was known last of some services.
#[derive(Debug, Default)]
pub struct Known {
    services: BTreeMap<String, Vec<NodeAddr>>,
    saved: Option<SystemTime>,
}

impl Known {
    /// Reads the file; empty where there is none, or it can't be read (which is logged). Addresses that `allow` refuses
    /// are left out.
    #[must_use]
    pub fn load(path: &Path, allow: &Allow) -> Self {
        match read(path) {
            Ok(copy) => Self::checked(copy, allow),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                warn!(path = %path.display(), %error, "the copy of the members cannot be used");
                Self::default()
            }
        }
    }

    fn checked(copy: Copy, allow: &Allow) -> Self {
        let addr = |text: &String| {
            let addr: NodeAddr = text.parse().ok()?;
            // A name was resolved and checked when it was saved; the resolver may be as dead as etcd now.
            let ok = host_addresses(addr.host()).is_none_or(|ips| allow.check(&addr, &ips).is_ok());
            ok.then_some(addr)
        };
        let services = copy.services.into_iter().map(|(service, members)| {
            (service, members.iter().filter_map(addr).take(MOST_NODES).collect())
        });
        let saved = UNIX_EPOCH.checked_add(Duration::from_secs(copy.saved_at));
        Self { services: services.collect(), saved }
    }

    /// The members of a service.
    #[must_use]
    pub fn members(&self, service: &str) -> &[NodeAddr] {
        self.services.get(service).map_or(&[], Vec::as_slice)
    }

    /// When they were saved.
    #[must_use]
    pub fn saved(&self) -> Option<SystemTime> {
        self.saved
    }
}

fn read(path: &Path) -> io::Result<Copy> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    let bad = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    if text.len() as u64 > LONGEST {
        return Err(bad(format!("longer than {LONGEST} bytes")));
    }
    let copy: Copy = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if copy.version == VERSION {
        Ok(copy)
    } else {
        Err(bad(format!("version {} is not {VERSION}", copy.version)))
    }
}

fn write(path: &Path, copy: &Copy) -> io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec_pretty(copy)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// Keeps the file up to date with what etcd says of these services, until dropped. A service that has nobody keeps what
/// was known of it before: to start with nodes that may be back is better than to start with none.
///
/// Cancel safety: dropped, it leaves the last complete file.
pub async fn keep(path: PathBuf, services: Vec<(String, Found)>) {
    let task = || {
        let kept = keep_once(path.clone(), services.clone());
        async { kept.await.map(|never| match never {}) }
    };
    supervise("copy of the members", BACK_OFF, task).await;
}

/// [`keep`] as a task of the current runtime, which ends with the last clone.
#[derive(Clone, Debug)]
pub struct Keeper {
    _task: Arc<AbortOnDropHandle<()>>,
}

impl Keeper {
    /// Keeps the file from now on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(path: PathBuf, services: Vec<(String, Found)>) -> Self {
        Self { _task: Arc::new(AbortOnDropHandle::new(tokio::spawn(keep(path, services)))) }
    }
}

async fn keep_once(path: PathBuf, services: Vec<(String, Found)>) -> io::Result<Infallible> {
    let mut watched: Vec<_> = services.iter().map(Watched::new).collect();
    let mut saved = BTreeMap::new();
    loop {
        let mut known = saved.clone();
        for one in &mut watched {
            known.extend(one.look());
        }
        if known != saved {
            save(&path, known.clone()).await?;
            saved = known;
        }
        // Whoever waits sees what came since it looked.
        let waits = watched.iter().map(Watched::change);
        waits.collect::<tokio::task::JoinSet<()>>().join_next().await;
    }
}

struct Watched {
    service: String,
    members: Membership,
    health: watch::Receiver<Health>,
}

impl Watched {
    fn new((service, found): &(String, Found)) -> Self {
        Self { service: service.clone(), members: found.members(), health: found.health_changes() }
    }

    /// What is known now, where etcd has said it.
    fn look(&mut self) -> Option<(String, Vec<String>)> {
        let origin = self.health.borrow_and_update().origin;
        let members: Vec<_> =
            self.members.borrow_and_update().iter().map(ToString::to_string).collect();
        (origin == Origin::Etcd && !members.is_empty()).then(|| (self.service.clone(), members))
    }

    /// Waits until something is known that was not when it was last looked at; for ever where nothing can change.
    fn change(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut members, mut health) = (self.members.clone(), self.health.clone());
        async move {
            tokio::select! {
                Ok(()) = members.changed() => {}
                Ok(()) = health.changed() => {}
                else => std::future::pending().await,
            }
        }
    }
}

async fn save(path: &Path, services: BTreeMap<String, Vec<String>>) -> io::Result<()> {
    let path = path.to_owned();
    let saved = tokio::task::spawn_blocking(move || {
        let mut copy = read(&path).unwrap_or_default();
        let before = copy.services.clone();
        copy.services.extend(services);
        if copy.services == before {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (copy.version, copy.saved_at) = (VERSION, now.as_secs());
        write(&path, &copy)?;
        info!(path = %path.display(), "the members were saved");
        Ok(())
    });
    saved.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(services: &[(&str, &[&str])]) -> Copy {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let services = services.iter().map(|(name, list)| ((*name).to_owned(), texts(list)));
        Copy { version: VERSION, saved_at: 1_700_000_000, services: services.collect() }
    }

    #[test]
    fn what_was_saved_is_known_again_where_it_is_still_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/members.json");
        let members = ["10.0.0.1:80", "169.254.169.254:80", "8.8.8.8:80", "node-1:80", "x"];
        write(&path, &copy(&[("slave", &members)])).unwrap();
        let known = Known::load(&path, &Allow::default());
        let texts: Vec<_> = known.members("slave").iter().map(NodeAddr::as_str).collect();
        assert_eq!(texts, ["10.0.0.1:80", "node-1:80"]);
        assert_eq!(known.saved(), Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        assert!(known.members("master").is_empty());
    }

    #[test]
    fn nothing_in_the_file_is_taken_for_more_than_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("members.json");
        write(&path, &copy(&[("slave", &["10.0.0.1:80"])])).unwrap();
        let good = std::fs::read(&path).unwrap();
        let known = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Known::load(&path, &Allow::default()).members("slave").len()
        };
        assert_eq!(known(&good), 1);
        for end in 0..good.len() {
            assert_eq!(known(&good[..end]), 0, "cut at {end}");
        }
        assert_eq!(known(b"\xff\xfe"), 0);
        assert_eq!(known(&vec![b' '; 2 << 20]), 0);
        assert_eq!(known(br#"{"version":2,"saved_at":0,"services":{"slave":["10.0.0.1:80"]}}"#), 0);
    }

    #[tokio::test]
    async fn changes_are_saved_and_an_empty_service_keeps_what_was_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("members.json");
        let (members, followed) = watch::channel(Arc::from([]));
        let found = Found::following(followed, Origin::Etcd);
        let task = tokio::spawn(keep(path.clone(), vec![("slave".to_owned(), found)]));
        let until = async |expected: usize| {
            while Known::load(&path, &Allow::default()).members("slave").len() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let list = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        members.send(list(&["10.0.0.1:80", "10.0.0.2:80"])).unwrap();
        until(2).await;
        members.send(list(&[])).unwrap();
        members.send(list(&["10.0.0.3:80"])).unwrap();
        until(1).await;
        members.send(list(&[])).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(Known::load(&path, &Allow::default()).members("slave").len(), 1);
        task.abort();
    }
}
