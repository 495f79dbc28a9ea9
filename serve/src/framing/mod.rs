//! A strict reading of how HTTP/1 requests are framed.
//!
//! Servers repair ambiguous requests in silence: they drop a `Content-Length` that comes with a
//! `Transfer-Encoding`, merge equal lengths, take lines without a carriage return. Whoever reads
//! the same bytes otherwise (a proxy before us, a server behind us) then sees other requests than
//! we do, which is how requests are smuggled. What is here refuses everything that two readers
//! could read in two ways, by RFC 9112 wherever that allows refusing.
//!
//! This crate's own server reads heads and chunks by it. [`FramingGuard`] is the same for the whole
//! stream of a connection, to stand in front of any other parser.
//!
//! The guard is a pure state machine over the bytes of one connection. It never changes bytes; it
//! says how many of them may be handed on. Heads, chunk lines and trailers pass only as wholes, so
//! nothing of a refused head ever reaches the parser behind.
//!
//! Beyond the framing proper it refuses what the RFC allows and nobody needs: bare line feeds,
//! commas in Host, field names that spell a framing field with underscores, blanks after a chunk
//! size. One empty line before a request is let through, as RFC 9112 §2.2 asks.
//!
//! ```
//! use kamaitachi_serve::framing::{FramingGuard, Violation};
//! use kamaitachi_serve::limits::Limits;
//!
//! let limits = Limits::default();
//! let mut guard = FramingGuard::new((&limits).into());
//! let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
//! assert_eq!(guard.advance(&request[..20]).passed, 0);
//! assert_eq!(guard.advance(request).passed, request.len());
//!
//! let both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
//! assert_eq!(guard.advance(both).violation, Some(Violation::BothLengths));
//! ```
//!
//! Cost: one pass over a head, 64 bytes at a time, and one look-up for each byte of a field name
//! or target; bodies are counted, not looked at. No allocation.

pub(crate) mod chunked;
pub(crate) mod classes;
mod field;
pub(crate) mod head;
mod lines;
#[cfg(test)]
mod tests;
mod violation;

pub use violation::Violation;

use crate::limits::Limits;
use chunked::{Chunked, Step};
use head::{Framing, Head};

/// How large the head of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingLimits {
    /// Bytes of a head, from its first byte to the end of its empty line.
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
#[must_use]
pub struct Progress {
    /// How many of the bytes may be handed on. The rest is to be shown again, with more.
    pub passed: usize,
    /// Heads that ended among them.
    pub heads: usize,
    /// How many of them belong to bodies.
    pub body: usize,
    /// What is wrong after them. Nothing passes any more, and it is said again each time.
    pub violation: Option<Violation>,
}

/// Follows the requests of one connection.
#[derive(Clone, Debug)]
pub struct FramingGuard {
    limits: FramingLimits,
    state: State,
    violation: Option<Violation>,
}

#[derive(Clone, Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
}

impl FramingGuard {
    /// Before the first request of a connection.
    #[must_use]
    pub fn new(limits: FramingLimits) -> Self {
        Self { limits, state: State::Head(Head::default()), violation: None }
    }

    /// Looks at `bytes`, which begin with the first byte that has not passed yet: what was shown
    /// before and did not pass comes first again.
    ///
    /// However a stream is cut into calls, the same bytes pass and the same violation is found.
    pub fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut progress = Progress { violation: self.violation, ..Progress::default() };
        while progress.violation.is_none() && progress.passed < bytes.len() {
            match self.step(&bytes[progress.passed..], &mut progress) {
                Ok(true) => {}
                Ok(false) => break,
                Err(violation) => {
                    self.violation = Some(violation);
                    progress.violation = self.violation;
                }
            }
        }
        progress
    }

    /// One part of a message; whether there was enough to tell.
    fn step(&mut self, rest: &[u8], progress: &mut Progress) -> Result<bool, Violation> {
        match &mut self.state {
            State::Head(head) => {
                let Some((length, framing)) = head.advance(rest, &self.limits)? else {
                    return Ok(false);
                };
                progress.passed += length;
                progress.heads += 1;
                self.state = match framing {
                    Framing::Length(0) => State::Head(Head::default()),
                    Framing::Length(n) => State::Length(n),
                    Framing::Chunked => State::Chunked(Chunked::Size),
                };
            }
            State::Length(left) => {
                let n = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                progress.passed += n;
                progress.body += n;
                *left -= n as u64;
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
            }
            State::Chunked(chunked) => {
                let (n, end) = match chunked.advance(rest)? {
                    Step::Short => return Ok(false),
                    Step::Passed(n) => (n, false),
                    Step::End(n) => (n, true),
                };
                progress.passed += n;
                progress.body += n;
                if end {
                    self.state = State::Head(Head::default());
                }
            }
        }
        Ok(true)
    }

    /// Where the next byte stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match &self.state {
            State::Head(head) if head.begun() => Stage::Head,
            State::Head(_) => Stage::Between,
            State::Length(_) | State::Chunked(_) => Stage::Body,
        }
    }
}
