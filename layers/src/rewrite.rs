//! Strips or replaces a prefix of the path.
//!
//! The prefix ends at a segment's boundary: `/data` is a prefix of `/data` and `/data/x`, not of `/database`. What
//! follows it, query and percent-encoding included, is kept byte for byte, and the result always begins with a
//! slash. A path without the prefix passes unchanged. Readiness is the inner service's.
//!
//! ```
//! use http::Request;
//! use kamaitachi_layers::rewrite::RewriteLayer;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let stack = ServiceBuilder::new()
//!     .layer(RewriteLayer::strip("/data")?)
//!     .service(service_fn(|request: Request<()>| async move { Ok::<_, BoxError>(request.uri().clone()) }));
//!
//! let uri = stack.oneshot(Request::get("/data/a%2Fb?c=%20d").body(())?).await?;
//! assert_eq!(uri, "/a%2Fb?c=%20d");
//! # Ok(()) }
//! ```
use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut as _, BytesMut};
use http::{
    Request, Uri,
    uri::{InvalidUri, PathAndQuery},
};
use parking_lot::Mutex;
use tower::{Layer, Service};

/// Builds [`Rewrite`] services.
#[derive(Clone, Debug)]
pub struct RewriteLayer {
    rule: Arc<Rule>,
}

#[derive(Debug)]
struct Rule {
    // Both without a trailing slash, so that what follows begins with one, or with `?`, or is empty.
    prefix: Box<str>,
    replacement: Box<str>,
    // The path that was met last, and what became of it: most requests of a route have the same.
    last: Mutex<Option<(Box<str>, PathAndQuery)>>,
}

/// Longer paths are not remembered.
const MEMORABLE: usize = 256;

/// A prefix, or what replaces it, that is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prefix {0:?} must be a path that begins with a slash, without a query")]
pub struct InvalidPrefix(String);

impl RewriteLayer {
    /// Takes `prefix` away.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`] if it does not begin with a slash or cannot be in a path.
    pub fn strip(prefix: &str) -> Result<Self, InvalidPrefix> {
        Self::replace(prefix, "/")
    }

    /// Puts `replacement` in the place of `prefix`.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`] if one of them does not begin with a slash or cannot be in a path.
    pub fn replace(prefix: &str, replacement: &str) -> Result<Self, InvalidPrefix> {
        let (prefix, replacement) = (checked(prefix)?, checked(replacement)?);
        Ok(Self { rule: Arc::new(Rule { prefix, replacement, last: Mutex::new(None) }) })
    }
}

fn checked(path: &str) -> Result<Box<str>, InvalidPrefix> {
    let parsed: Result<PathAndQuery, _> = path.parse();
    match parsed {
        Ok(parsed) if path.starts_with('/') && parsed.path() == path => {
            Ok(path.trim_end_matches('/').into())
        }
        _ => Err(InvalidPrefix(path.to_owned())),
    }
}

impl Rule {
    fn rewrite(&self, uri: &mut Uri) {
        let Some(whole) = uri.path_and_query().map(PathAndQuery::as_str) else { return };
        let Some(rest) = whole.strip_prefix(&*self.prefix) else { return };
        if !matches!(rest.as_bytes().first(), None | Some(b'/' | b'?')) {
            return;
        }
        let Some(rewritten) = self.remembered(whole, rest) else { return };
        if uri.authority().is_none() {
            *uri = rewritten.into();
            return;
        }
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(rewritten);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }

    /// What becomes of `whole`, of which `rest` follows the prefix. `None` is impossible: every byte of it was in a
    /// valid path before.
    fn remembered(&self, whole: &str, rest: &str) -> Option<PathAndQuery> {
        // Queries hardly repeat; and who would have to wait for the memory does without.
        let last = if rest.contains('?') { None } else { self.last.try_lock() };
        let Some(mut last) = last else { return self.joined(rest).ok() };
        if let Some((from, to)) = &*last
            && **from == *whole
        {
            return Some(to.clone());
        }
        let rewritten = self.joined(rest).ok()?;
        if whole.len() <= MEMORABLE {
            *last = Some((whole.into(), rewritten.clone()));
        }
        Some(rewritten)
    }

    /// The replacement and the rest, in one allocation.
    fn joined(&self, rest: &str) -> Result<PathAndQuery, InvalidUri> {
        if self.replacement.is_empty() && rest.starts_with('/') {
            return PathAndQuery::try_from(rest);
        }
        let mut joined = BytesMut::with_capacity(self.replacement.len() + 1 + rest.len());
        joined.put_slice(self.replacement.as_bytes());
        if joined.is_empty() {
            joined.put_u8(b'/');
        }
        joined.put_slice(rest.as_bytes());
        PathAndQuery::from_maybe_shared(joined.freeze())
    }
}

impl<S> Layer<S> for RewriteLayer {
    type Service = Rewrite<S>;

    fn layer(&self, inner: S) -> Rewrite<S> {
        Rewrite { inner, rule: Arc::clone(&self.rule) }
    }
}

/// Passes requests on with another path. See the [module](self) for the rules.
#[derive(Clone, Debug)]
pub struct Rewrite<S> {
    inner: S,
    rule: Arc<Rule>,
}

impl<S, B> Service<Request<B>> for Rewrite<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.rule.rewrite(request.uri_mut());
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(layer: &RewriteLayer, uri: &str) -> String {
        let rewrite = || {
            let mut uri = uri.parse().unwrap();
            layer.rule.rewrite(&mut uri);
            uri.to_string()
        };
        let first = rewrite();
        assert_eq!(rewrite(), first, "the second time from memory");
        first
    }

    #[test]
    fn strips_at_the_boundary_of_a_segment_only() {
        let layer = RewriteLayer::strip("/data").unwrap();
        for (from, to) in [
            ("/data/a/b", "/a/b"),
            ("/data/", "/"),
            ("/data", "/"),
            ("/data?x=1", "/?x=1"),
            ("/data/?x=/data", "/?x=/data"),
            ("/data//x", "//x"),
            ("/data/%2e%64?%3f", "/%2e%64?%3f"),
            ("/database", "/database"),
            ("/d%61ta/x", "/d%61ta/x"),
            ("/other", "/other"),
            ("http://host:1/data/x?y", "http://host:1/x?y"),
        ] {
            assert_eq!(rewritten(&layer, from), to, "{from}");
        }
    }

    #[test]
    fn replaces_a_prefix_and_can_add_one() {
        let layer = RewriteLayer::replace("/v1/", "/v2/api/").unwrap();
        assert_eq!(rewritten(&layer, "/v1/x"), "/v2/api/x");
        assert_eq!(rewritten(&layer, "/v1"), "/v2/api");
        assert_eq!(rewritten(&layer, "/v1?q"), "/v2/api?q");
        let layer = RewriteLayer::replace("/", "/all").unwrap();
        assert_eq!(rewritten(&layer, "/x?q"), "/all/x?q");
        assert_eq!(rewritten(&layer, "/"), "/all/");
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for bad in ["", "data", "/data?x", "/a b", "*", "/a#b"] {
            assert_eq!(RewriteLayer::strip(bad).unwrap_err(), InvalidPrefix(bad.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn keeps_the_rest_byte_for_byte(rest in "(/[a-z%2F.:]{0,6}){0,4}(\\?[a-z=&%20/?]{0,12})?") {
            let layer = RewriteLayer::strip("/data").unwrap();
            let stripped = rewritten(&layer, &format!("/data{rest}"));
            let slash = if rest.starts_with('/') { "" } else { "/" };
            prop_assert_eq!(stripped, format!("{slash}{rest}"));
        }
    }
}
