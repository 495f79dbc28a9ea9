//! Why a layer of this crate refused a request: one enum, so that one `match` can answer all of them.
//!
//! ```
//! use kamaitachi_layers::rejection::Rejection;
//! use tower::BoxError;
//!
//! let error: BoxError = Rejection::NoRoute.into();
//! let why = Rejection::find(&*error).expect("the error is one of ours");
//! assert_eq!(why.status(), http::StatusCode::NOT_FOUND);
//! ```
use std::{error::Error, sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use tower::BoxError;

/// Every reason for which a layer of this crate refuses a request.
///
/// Exhaustive on purpose: whoever turns it into responses matches without `_`, so a new reason does not compile
/// until it has an answer.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// A rate limit is used up.
    #[error("rate limit {limit} exceeded, next request in {} ms", retry_after.as_millis())]
    RateLimited {
        /// The limit's name.
        limit: Arc<str>,
        /// How long until one more request would be let through.
        retry_after: Duration,
    },
    /// A circuit breaker is open, or half-open with all its places taken.
    #[error("circuit breaker {breaker} is open, next try in {} ms", retry_after.as_millis())]
    CircuitOpen {
        /// The breaker's name.
        breaker: Arc<str>,
        /// How long until the breaker would look at a request again.
        retry_after: Duration,
    },
    /// The pool to choose from is empty.
    #[error("no upstream to choose from")]
    NoUpstream,
    /// No route has this path.
    #[error("no route for this path")]
    NoRoute,
    /// The path has a route, but not for this method.
    #[error("method not allowed here, allowed are {}", allow.to_str().unwrap_or("none"))]
    MethodNotAllowed {
        /// The value for the `Allow` header.
        allow: HeaderValue,
    },
    /// The body is longer than may be buffered.
    #[error("request body longer than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body did not arrive whole in time.
    #[error("request body not complete after {} ms", after.as_millis())]
    BodyTimedOut {
        /// The deadline for the whole body.
        after: Duration,
    },
    /// The body broke off or could not be read. Nothing of it was forwarded.
    #[error("request body could not be read")]
    BodyUnreadable(#[source] BoxError),
    /// The request target or the `Host` field is not one that a proxy may pass on.
    #[error("bad request target: {why}")]
    BadTarget {
        /// What is wrong with it, fit to be shown to the client.
        why: &'static str,
    },
}

impl Rejection {
    /// The rejection in `error` itself or in the chain of its sources, if there is one.
    #[must_use]
    pub fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        std::iter::successors(Some(error), |&error| error.source())
            .find_map(<dyn Error>::downcast_ref)
    }

    /// The status that HTTP has for this reason.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::CircuitOpen { .. } | Self::NoUpstream => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimedOut { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyUnreadable(_) | Self::BadTarget { .. } => StatusCode::BAD_REQUEST,
        }
    }

    /// The value for `Retry-After`, for the reasons that pass with time.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::CircuitOpen { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::NoUpstream
            | Self::NoRoute
            | Self::MethodNotAllowed { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTimedOut { .. }
            | Self::BodyUnreadable(_)
            | Self::BadTarget { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] BoxError);

    #[test]
    fn is_found_beneath_other_errors() {
        let error: BoxError = Outer(Outer(Rejection::NoUpstream.into()).into()).into();
        assert!(matches!(Rejection::find(&*error), Some(Rejection::NoUpstream)));
    }

    #[test]
    fn is_not_found_where_there_is_none() {
        let error: BoxError = Outer("plain".into()).into();
        assert!(Rejection::find(&*error).is_none());
    }

    #[test]
    fn says_the_number_and_the_unit() {
        let said = Rejection::RateLimited {
            limit: "period".into(),
            retry_after: Duration::from_millis(1500),
        };
        assert_eq!(said.to_string(), "rate limit period exceeded, next request in 1500 ms");
        assert_eq!(said.retry_after(), Some(Duration::from_millis(1500)));
    }
}
