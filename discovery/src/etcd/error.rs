//! What goes wrong with etcd.

use std::{io, path::PathBuf, time::Duration};

/// Why a session with etcd ended. All of them are tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// A call was refused, or its connection failed.
    #[error("{what}: {source}")]
    Refused {
        /// Which call.
        what: &'static str,
        /// What the client said.
        source: etcd_client::Error,
    },
    /// A call had no answer.
    #[error("{what}: no answer within {after:?}")]
    TimedOut {
        /// Which call.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// A stream of answers has ended.
    #[error("{0}: etcd ended the stream")]
    Ended(&'static str),
    /// A watch was cancelled by etcd.
    #[error("watch: cancelled by etcd: {0:?}")]
    Cancelled(String),
    /// A watch that said nothing when it was asked.
    #[error("watch: nothing was heard for {0:?}, not even when asked")]
    Silent(Duration),
    /// The lease is gone: it expired or was revoked.
    #[error("the lease is gone")]
    LeaseGone,
    /// A setting does not fit the etcd that is there.
    #[error("`{key}`: {why}")]
    Unfit {
        /// Which key of the configuration.
        key: &'static str,
        /// What is wrong, and what etcd or the connection said.
        why: String,
    },
    /// A file of the TLS settings can't be read.
    #[error("`{key}`: {}: {source}", path.display())]
    File {
        /// Which key of the configuration names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
