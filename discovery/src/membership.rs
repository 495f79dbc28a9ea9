//! Members as a stream, and how current they are.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use crate::NodeAddr;

/// The nodes of a service, as they come and go, sorted and without repeats unless somebody listed them by hand. A list
/// that never changes is one whose other end is gone.
///
/// Whoever discovers nodes sends lists into the other end; whoever uses them follows the changes.
pub type Membership = watch::Receiver<Arc<[NodeAddr]>>;

/// A list that stays as it is.
#[must_use]
pub fn fixed(nodes: Vec<NodeAddr>) -> Membership {
    watch::channel(nodes.into()).1
}

/// Where members are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    Static,
    /// The copy on disk of what was known in an earlier life.
    Disk,
    /// A file that is watched.
    File,
    /// A name that is resolved again and again.
    Dns,
    /// The registrations in etcd.
    Etcd,
}

impl Origin {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Disk => "disk",
            Self::File => "file",
            Self::Dns => "dns",
            Self::Etcd => "etcd",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How current a membership is, and what was noticed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Where the members are known from.
    pub origin: Origin,
    /// When they were last seen to be right, by the wall clock; `None` where nobody looked.
    pub synced: Option<SystemTime>,
    /// Whether the source answers at present.
    pub connected: bool,
    /// Why it does not.
    pub trouble: Option<String>,
    /// Changes of the members so far.
    pub epoch: u64,
    /// Values refused, each time they were seen anew.
    pub refused: u64,
    /// Times that the loss of members was not believed at once.
    pub holds: u64,
    /// Members that are kept although the source does not list them.
    pub held: usize,
}

impl Health {
    /// Of members that are known from `origin` and were never looked up.
    #[must_use]
    pub const fn new(origin: Origin) -> Self {
        Self {
            origin,
            synced: None,
            connected: false,
            trouble: None,
            epoch: 0,
            refused: 0,
            holds: 0,
            held: 0,
        }
    }

    /// How long ago the members were last seen to be right.
    #[must_use]
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        self.synced.map(|synced| now.duration_since(synced).unwrap_or_default())
    }
}

/// Members that are being looked for. Clones follow the same; with the last one the search ends.
#[derive(Clone, Debug)]
pub struct Found {
    members: Membership,
    health: watch::Receiver<Health>,
    _task: Option<Arc<Task>>,
}

impl Found {
    /// Members that nobody looks for.
    #[must_use]
    pub fn fixed(nodes: Vec<NodeAddr>) -> Self {
        Self {
            members: fixed(nodes),
            health: watch::channel(Health::new(Origin::Static)).1,
            _task: None,
        }
    }

    /// Members that somebody else tells of.
    #[must_use]
    pub fn following(members: Membership, origin: Origin) -> Self {
        Self { members, health: watch::channel(Health::new(origin)).1, _task: None }
    }

    /// Members that `task` looks for.
    pub(crate) fn by_task(
        members: Membership,
        health: watch::Receiver<Health>,
        task: tokio::task::JoinHandle<()>,
    ) -> Self {
        Self { members, health, _task: Some(Arc::new(Task(task))) }
    }

    /// The members, to be followed.
    #[must_use]
    pub fn members(&self) -> Membership {
        self.members.clone()
    }

    /// The members now.
    #[must_use]
    pub fn now(&self) -> Arc<[NodeAddr]> {
        Arc::clone(&self.members.borrow())
    }

    /// How current they are.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The same, to be followed.
    #[must_use]
    pub fn health_changes(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}

#[derive(Debug)]
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
