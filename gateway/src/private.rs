//! Keeps what nodes say to each other away from clients.
//!
//! Beneath `/internal` nodes have what only other nodes may ask: the feed of replication, the hand-over of caches. Beneath
//! `/kamaitachi.group.…` they speak to each other as a cache group. A request whose path, as it would be forwarded, is
//! there is refused as one that has no route, whatever the routes say. Paths are read as a lenient server might read them: percent-encoding is undone once, and slashes that repeat
//! count once. (Dot segments are refused before.) Readiness is the inner service's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use kamaitachi_layers::rejection::Rejection;
use pin_project_lite::pin_project;
use tower::{BoxError, Layer, Service};

/// The first segment of what is not for clients.
const PRIVATE: &[u8] = b"internal";
/// What the first segment of the group's paths begins with.
const GROUP: &[u8] = b"kamaitachi.group.";
/// What most paths begin with, which is neither.
const PUBLIC: &str = "/kamaitachi/";

/// Builds [`Private`] services.
#[derive(Clone, Copy, Debug)]
pub struct PrivateLayer;

impl<S> Layer<S> for PrivateLayer {
    type Service = Private<S>;

    fn layer(&self, inner: S) -> Private<S> {
        Private { inner }
    }
}

/// Refuses paths that are not for clients. See the [module](self).
#[derive(Clone, Debug)]
pub struct Private<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Private<S>
where
    S: Service<Request<B>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let allowed = !is_private(request.uri().path());
        ResponseFuture { inner: allowed.then(|| self.inner.call(request)) }
    }
}

pin_project! {
    /// The future of [`Private`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // `None` where the request was refused.
        #[pin]
        inner: Option<F>,
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, BoxError>>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => Poll::Ready(ready!(inner.poll(cx))),
            None => Poll::Ready(Err(Rejection::NoRoute.into())),
        }
    }
}

/// Whether the first segment of `path` is one that is not for clients.
fn is_private(path: &str) -> bool {
    !path.starts_with(PUBLIC) && (begins(path, PRIVATE, true) || begins(path, GROUP, false))
}

/// Whether the first segment of `path` begins with `wanted`, or `is` it. Ends at the first byte that differs.
fn begins(path: &str, mut wanted: &[u8], is: bool) -> bool {
    let mut rest = path.as_bytes();
    let mut has_begun = false;
    loop {
        if wanted.is_empty() && !is {
            return true;
        }
        let byte = next(&mut rest);
        match (byte, wanted) {
            (Some(b'/'), _) if !has_begun => {}
            (None | Some(b'/'), []) => return true,
            (Some(byte), [first, others @ ..]) if byte.eq_ignore_ascii_case(first) => {
                (wanted, has_begun) = (others, true);
            }
            _ => return false,
        }
    }
}

/// Takes the next byte, decoded once.
fn next(rest: &mut &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if let [b'%', high, low, after @ ..] = *rest
        && let (Some(high), Some(low)) = (digit(*high), digit(*low))
    {
        *rest = after;
        return Some(high << 4 | low);
    }
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beneath_internal_is_private_however_it_is_written() {
        for path in [
            "/internal",
            "/internal/",
            "/internal/cache/pull",
            "//internal/replication/v1/copy",
            "/%69nternal/x",
            "/%2Finternal%2fx",
            "/internal%2Fx",
            "/INTERNAL/x",
        ] {
            assert!(is_private(path), "{path}");
        }
    }

    #[test]
    fn so_is_what_the_group_of_the_nodes_says() {
        for path in [
            "/kamaitachi.group.v1.Sync/Apply",
            "/kamaitachi.group.v1.Cache/Clear",
            "/kamaitachi.group.v2.Other",
            "//Kamaitachi%2Egroup.v1.Sync/Apply",
            "/%2fkamaitachi.group.",
        ] {
            assert!(is_private(path), "{path}");
        }
        for path in [
            "/kamaitachi.group",
            "/kamaitachi.groups",
            "/kamaitachi/group.",
            "/a/kamaitachi.group.v1",
        ] {
            assert!(!is_private(path), "{path}");
        }
    }

    #[test]
    fn all_other_paths_are_not() {
        for path in [
            "/",
            "",
            "//",
            "/internals",
            "/intern",
            "/a/internal/x",
            "/%2569nternal/x",
            "/kamaitachi/api/data/v1/snapshot",
            "/%",
            "/internal%",
        ] {
            assert!(!is_private(path), "{path}");
        }
    }
}
