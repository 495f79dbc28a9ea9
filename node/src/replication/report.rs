//! What statistics, metrics and readiness tell of replication.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use serde::Serialize;
use tokio::time::Instant;

use super::{Feed, Follower, Seat, Transport, follower::Status, followers::FollowerLine};
use crate::{
    api::metrics::{counter, gauge},
    model::Revision,
};

/// A node's part in replication.
#[derive(Clone, Debug)]
pub enum Replication {
    /// Feeds slaves.
    Master(Arc<Feed>),
    /// Follows a master.
    Slave(Followed),
}

/// How a follower is doing.
#[derive(Clone, Debug)]
pub struct Followed(Arc<Status>);

/// What `/stats` tells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Of a master.
    Master {
        /// Slaves that are connected.
        followers: Vec<FollowerLine>,
        /// Copies that were begun for slaves.
        copies: u64,
    },
    /// Of a slave.
    Slave {
        /// The address of the master.
        master: String,
        /// `following`, `copying` or `connecting`.
        state: &'static str,
        /// Whether the master is heard.
        connected: bool,
        /// The revision the master last said it is at.
        master_revision: Revision,
        /// Revisions this node lacks of it.
        lag_revisions: u64,
        /// Since this node was last known to have all; `null` if it never had.
        lag_seconds: Option<f64>,
        /// Since the master was last heard; `null` if it never was.
        last_contact_seconds: Option<f64>,
        /// Copies this node started from.
        bootstraps: u64,
        /// Connections to the master that were followed.
        connects: u64,
        /// Commits that were applied.
        commits: u64,
        /// Why the master is not followed now.
        problem: Option<String>,
    },
}

impl<T: Transport, S: Seat> From<&Follower<T, S>> for Replication {
    fn from(follower: &Follower<T, S>) -> Self {
        Self::Slave(Followed(follower.status()))
    }
}

impl Replication {
    /// How it stands, where the store is at `applied`.
    #[must_use]
    pub fn report(&self, applied: Revision) -> Report {
        match self {
            Self::Master(feed) => {
                Report::Master { followers: feed.followers.list(), copies: feed.followers.copies() }
            }
            Self::Slave(Followed(status)) => {
                let now = Instant::now().into_std();
                let progress = status.progress.lock().clone();
                let lag = progress.lag(applied, now);
                Report::Slave {
                    master: status.master.clone(),
                    state: *status.phase.lock(),
                    connected: progress.is_connected(),
                    master_revision: progress.announced(),
                    lag_revisions: lag.revisions,
                    lag_seconds: lag.time.map(|time| time.as_secs_f64()),
                    last_contact_seconds: progress.silence(now).map(|time| time.as_secs_f64()),
                    bootstraps: status.bootstraps.load(Relaxed),
                    connects: status.connects.load(Relaxed),
                    commits: status.commits.load(Relaxed),
                    problem: status.problem.lock().clone(),
                }
            }
        }
    }

    /// Whether it takes no traffic away that the master is not heard, and how it stands in words.
    pub(crate) fn detail(&self, applied: Revision) -> String {
        match self.report(applied) {
            Report::Master { followers, .. } => format!("{} slaves follow", followers.len()),
            Report::Slave { state, lag_revisions, problem, master, .. } => match problem {
                Some(problem) => format!("{state} {master}: {problem}"),
                None => format!("{state} {master}, {lag_revisions} revisions behind"),
            },
        }
    }

    /// The metrics.
    pub(crate) fn encode(&self, to: &mut DescriptorEncoder<'_>, applied: Revision) -> fmt::Result {
        match self.report(applied) {
            Report::Master { followers, copies } => {
                let count = followers.len() as u64;
                gauge(to, "kamaitachi_replication_followers", "Slaves connected.", count)?;
                counter(to, "kamaitachi_replication_copies", "Copies begun for slaves.", copies)
            }
            Report::Slave {
                connected,
                lag_revisions,
                lag_seconds,
                last_contact_seconds,
                bootstraps,
                connects,
                commits,
                ..
            } => {
                let up = "Whether the master is heard.";
                gauge(to, "kamaitachi_replication_connected", up, connected.into())?;
                let lag = "Revisions that the master has and this node has not.";
                gauge(to, "kamaitachi_replication_lag_revisions", lag, lag_revisions)?;
                let lag = "Since this node was last known to have all that the master has.";
                seconds(to, "kamaitachi_replication_lag_seconds", lag, lag_seconds)?;
                let silence = "Since the master was last heard.";
                let name = "kamaitachi_replication_last_contact_seconds";
                seconds(to, name, silence, last_contact_seconds)?;
                let copies = "Copies of the master's store this node started from.";
                counter(to, "kamaitachi_replication_bootstraps", copies, bootstraps)?;
                let followed = "Connections to the master that were followed.";
                counter(to, "kamaitachi_replication_connects", followed, connects)?;
                let applied = "Commits of the master that were applied.";
                counter(to, "kamaitachi_replication_commits", applied, commits)
            }
        }
    }
}

/// A length of time that may be unknown, which is told as not a number.
fn seconds(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<f64>,
) -> fmt::Result {
    let value = ConstGauge::new(value.unwrap_or(f64::NAN));
    value.encode(to.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
