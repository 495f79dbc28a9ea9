//! Why a command could not be done.

use std::error::Error as _;

use tonic::{Code, Status};

use crate::group::hung_up;

/// Why a command could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The words are wrong: whoever typed them can mend it.
    #[error("{0}")]
    Usage(String),
    /// There is no such key.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// The node can't be reached, or did not answer in time.
    #[error("{addr} does not answer: {why}")]
    Unreachable {
        /// The node.
        addr: String,
        /// What the connection said.
        why: String,
    },
    /// The node refused.
    #[error("{0}")]
    Refused(String),
    /// The answer can't be shown, or the value not be read.
    #[error("{0}")]
    Io(String),
}

impl Problem {
    /// There are no such keys.
    #[must_use]
    pub fn no_such(keys: &[String]) -> Self {
        Self::NoSuchKey(keys.join(" "))
    }

    /// What a call to the node at `addr` came to.
    #[must_use]
    pub fn of(addr: &str, status: &Status) -> Self {
        let gone = |why: String| Self::Unreachable { addr: addr.to_owned(), why };
        match status.code() {
            // The last cause is the system's own word, such as "Connection refused".
            _ if status.source().is_some() => gone(deepest(status)),
            Code::DeadlineExceeded | Code::Cancelled => gone("it took too long".to_owned()),
            Code::Unauthenticated => Self::Refused(format!(
                "{addr} wants the group's token (--token): {}",
                status.message()
            )),
            Code::Unimplemented => Self::Refused(format!("{addr} is no node of a cache group")),
            _ => Self::Refused(status.message().to_owned()),
        }
    }

    /// The same of a node that is talked to over TLS: one that takes nobody without a certificate
    /// it knows may just hang up.
    #[must_use]
    pub fn of_secured(self) -> Self {
        match self {
            Self::Unreachable { addr, why } if hung_up(&why) => {
                let why = format!("{why}; does it know our certificate (--cert, --key)?");
                Self::Unreachable { addr, why }
            }
            other => other,
        }
    }
}

fn deepest(status: &Status) -> String {
    let causes = std::iter::successors(status.source(), |&error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}
