//! A strict reading of how HTTP/1 requests are framed, in front of the server's own parser.
mod violation;

pub use violation::Violation;

use crate::limits::Limits;

/// How large the head of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingLimits {
    /// Bytes of a head.
    pub head_bytes: usize,
    /// Header fields.
    pub headers: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
}

impl From<&Limits> for FramingLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            head_bytes: limits.head_bytes,
            headers: limits.headers,
            target_bytes: limits.target_bytes,
        }
    }
}

/// Where in the stream of requests the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before a request.
    Between,
    /// Inside a head.
    Head,
    /// Inside a body.
    Body,
}

/// What [`FramingGuard::advance`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many of the bytes may be handed on.
    pub passed: usize,
    /// Heads that ended among them.
    pub heads: usize,
    /// How many of them belong to bodies.
    pub body: usize,
    /// What is wrong with the byte after them.
    pub violation: Option<Violation>,
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub struct FramingGuard {}

impl FramingGuard {
    /// Before the first request of a connection.
    #[must_use]
    pub fn new(_limits: FramingLimits) -> Self {
        Self {}
    }

    /// Looks at the bytes not yet passed.
    pub fn advance(&mut self, bytes: &[u8]) -> Progress {
        Progress { passed: bytes.len(), ..Progress::default() }
    }

    /// Where the next byte stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        Stage::Between
    }
}
