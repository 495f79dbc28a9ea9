//! Slaves that hold what their master holds: the master's feed, the slave's follower.
//!
//! A slave asks with its [`Mark`](crate::store::Mark): which history, which revision, which
//! commit. Where the master's change log goes on from there, it streams what follows, as it is
//! committed; where it does not (an empty slave, a log that was cut, another history), the slave
//! fetches a consistent copy, checks it, and puts it in the place of its file. Everything that
//! decides is in the store: a change that is not the very next one is refused there, so nothing on
//! the way can make a slave differ, only slow.
//!
//! - `message`: what goes over the wire, framed with length and checksum;
//! - `feed`: the master's end, an HTTP answer that does not end; `followers`: who listens;
//! - `transport`: how a slave reaches a master, to be exchanged in tests;
//! - `follower`: the slave's end; `progress`: how far it is, and how late; `bootstrap`: the copy.

mod bootstrap;
mod feed;
mod follower;
mod followers;
mod message;
mod progress;
mod report;
mod transport;

use std::time::Duration;

use secrecy::SecretString;

pub(crate) use self::feed::{proxied, refuse};
pub use self::{
    bootstrap::{incoming, install},
    feed::{Body, Feed, PREFIX},
    follower::{Follower, Seat},
    followers::FollowerLine,
    message::{Decoder, Message, Unreadable},
    progress::{Lag, Progress},
    report::{Followed, Replication, Report},
    transport::{Ask, Chunks, Http, Transport, Unreachable},
};

/// How nodes replicate.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What both sides have to know, if anything.
    pub token: Option<SecretString>,
    /// How long a master may be silent before it is given up.
    pub timeout: Duration,
    /// The longest pause between two tries to reach it.
    pub retry_max: Duration,
}

impl Settings {
    /// How often a master that has nothing to tell says so: well within the time-out.
    fn beat(&self) -> Duration {
        (self.timeout / 4).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { token: None, timeout: Duration::from_secs(5), retry_max: Duration::from_secs(5) }
    }
}
