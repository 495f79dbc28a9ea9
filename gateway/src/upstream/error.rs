//! What can go wrong between a request and the end of its answer.
use std::{error::Error, io, time::Duration};

use bytes::Bytes;
use http::Response;
use rustix::io::Errno;
use tower::BoxError;

/// Why an upstream's answer did not come, or broke off.
///
/// Exhaustive on purpose: whoever turns it into responses matches without `_`.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: refused, unreachable, or the name does not resolve.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// No connection, since this process or its machine has no descriptor, port or memory left for one.
    #[error("nothing left to make a connection of")]
    Exhausted(#[source] io::Error),
    /// No connection within this time.
    #[error("not connected after {} ms", .0.as_millis())]
    ConnectTimedOut(Duration),
    /// This worker has that many connections to the upstream, all in use.
    #[error("all {0} connections in use")]
    Saturated(usize),
    /// The connection ended before the first byte of an answer.
    #[error("connection closed before an answer")]
    ClosedBeforeResponse(#[source] Option<io::Error>),
    /// The upstream did not take the request or did not begin to answer within this time.
    #[error("no answer after {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// What came is not an answer, or one whose end cannot be told.
    #[error("bad response: {0}")]
    BadResponse(#[from] BadResponse),
    /// The request cannot be written in HTTP/1.1.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The client's body broke off; the upstream saw no end of the request.
    #[error("request body could not be read")]
    RequestBody(#[source] BoxError),
    /// The upstream said that it is [unavailable](super::X_KAMAITACHI_UNAVAILABLE): it did nothing, and another one may
    /// do better. Its answer, for when there is no other.
    #[error("unavailable, says the node")]
    Unavailable(Box<Response<Bytes>>),
    /// The connection broke in the middle of the answer.
    #[error("connection lost while reading the answer")]
    Read(#[source] io::Error),
    /// The connection was closed in the middle of the answer.
    #[error("answer cut off")]
    Truncated,
    /// The answer stopped coming for this long.
    #[error("answer stopped for {} ms", .0.as_millis())]
    BodyTimedOut(Duration),
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// Not the head of an HTTP/1 response.
    #[error("malformed head")]
    Head,
    /// The head is longer than this.
    #[error("head longer than {0} bytes")]
    HeadTooLarge(usize),
    /// More fields than this.
    #[error("more than {0} header fields")]
    TooManyFields(usize),
    /// More interim (1xx) responses than this.
    #[error("more than {0} interim responses")]
    TooManyInterim(u32),
    /// A switch of protocols that nobody asked for.
    #[error("unasked switch of protocols")]
    Switch,
    /// `Content-Length` that is no number, or more than one of them.
    #[error("malformed or repeated Content-Length")]
    ContentLength,
    /// `Transfer-Encoding` other than `chunked`, in HTTP/1.0, or together with `Content-Length`.
    #[error("malformed or contradictory Transfer-Encoding")]
    TransferEncoding,
    /// A chunk without a proper size, or one that does not end where it should.
    #[error("malformed chunk")]
    Chunk,
}

impl UpstreamError {
    /// Why there is no connection.
    pub(super) fn connecting(error: io::Error) -> Self {
        if is_exhausted(&error) { Self::Exhausted(error) } else { Self::Connect(error) }
    }

    /// The error in `error` itself or in the chain of its sources, if there is one.
    #[must_use]
    pub fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        std::iter::successors(Some(error), |&error| error.source())
            .find_map(<dyn Error>::downcast_ref)
    }

    /// Whether the upstream cannot have acted on the request, whatever it was.
    ///
    /// A read may also be repeated after [`ClosedBeforeResponse`](Self::ClosedBeforeResponse): see
    /// [`Endpoint::for_reads`](super::Endpoint::for_reads).
    #[must_use]
    pub fn is_not_taken(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::ConnectTimedOut(_)
            | Self::Exhausted(_)
            | Self::Saturated(_)
            | Self::Unavailable(_) => true,
            Self::ClosedBeforeResponse(_)
            | Self::TimedOut(_)
            | Self::BadResponse(_)
            | Self::BadRequest(_)
            | Self::RequestBody(_)
            | Self::Read(_)
            | Self::Truncated
            | Self::BodyTimedOut(_) => false,
        }
    }

    /// Whether it speaks against the upstream's health, rather than against the request or this worker.
    pub(super) fn is_nodes_fault(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::ConnectTimedOut(_)
            | Self::ClosedBeforeResponse(_)
            | Self::TimedOut(_) => true,
            Self::Exhausted(_)
            | Self::Saturated(_)
            | Self::BadResponse(_)
            | Self::BadRequest(_)
            | Self::RequestBody(_)
            | Self::Unavailable(_)
            | Self::Read(_)
            | Self::Truncated
            | Self::BodyTimedOut(_) => false,
        }
    }
}

/// Whether an error of connecting speaks of this side: no descriptor, no port or no memory left.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use kamaitachi_layers::retry::HandedBack;

    use super::*;

    #[test]
    fn what_this_side_lacks_is_no_fault_of_the_node() {
        let connecting = |errno: Errno| UpstreamError::connecting(errno.into());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM]
        {
            let error = connecting(errno);
            assert!(matches!(error, UpstreamError::Exhausted(_)), "{error:?}");
            assert!(error.is_not_taken() && !error.is_nodes_fault());
        }
        for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NETUNREACH] {
            let error = connecting(errno);
            assert!(matches!(error, UpstreamError::Connect(_)), "{error:?}");
            assert!(error.is_nodes_fault());
        }
    }

    #[test]
    fn is_found_beneath_what_hands_the_request_back() {
        let request = http::Request::new(bytes::Bytes::new());
        let error: BoxError = HandedBack::new(request, UpstreamError::Saturated(3)).into();
        let found = UpstreamError::find(&*error).unwrap();
        assert!(found.is_not_taken());
        assert_eq!(error.to_string(), "all 3 connections in use");
    }
}
