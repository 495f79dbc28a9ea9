//! Why a request got the answer it got: the closed set of words in metrics and logs.

use http::StatusCode;

/// Who or what decided the status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The node, or one of the gateway's own paths: the status is theirs.
    Answered,
    /// Over a rate limit.
    RateLimited,
    /// Every breaker on the way is open.
    BreakerOpen,
    /// There is no node to ask.
    NoNode,
    /// No route has this path.
    NoRoute,
    /// The path is not there for this method.
    Method,
    /// The body is longer than the route takes.
    BodyTooLarge,
    /// The body did not come in time.
    BodyTimedOut,
    /// The body broke off.
    BodyUnreadable,
    /// The target, the host or a field is malformed.
    BadRequest,
    /// The node could not be reached, or broke off before it answered.
    Unreachable,
    /// The gateway had nothing left to make a connection to the node of: no descriptor, port or memory.
    Exhausted,
    /// All connections to the node are in use.
    Saturated,
    /// The node answered something that is not HTTP.
    BadAnswer,
    /// The node did not answer in time.
    TimedOut,
    /// The gateway failed.
    Internal,
    /// The client left before there was an answer.
    ClientGone,
}

impl Reason {
    /// All there are.
    pub const ALL: [Self; 17] = [
        Self::Answered,
        Self::RateLimited,
        Self::BreakerOpen,
        Self::NoNode,
        Self::NoRoute,
        Self::Method,
        Self::BodyTooLarge,
        Self::BodyTimedOut,
        Self::BodyUnreadable,
        Self::BadRequest,
        Self::Unreachable,
        Self::Exhausted,
        Self::Saturated,
        Self::BadAnswer,
        Self::TimedOut,
        Self::Internal,
        Self::ClientGone,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::RateLimited => "rate_limited",
            Self::BreakerOpen => "breaker_open",
            Self::NoNode => "no_node",
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimedOut => "body_timed_out",
            Self::BodyUnreadable => "body_unreadable",
            Self::BadRequest => "bad_request",
            Self::Unreachable => "unreachable",
            Self::Exhausted => "exhausted",
            Self::Saturated => "saturated",
            Self::BadAnswer => "bad_answer",
            Self::TimedOut => "timed_out",
            Self::Internal => "internal",
            Self::ClientGone => "client_gone",
        }
    }

    /// The status of an answer that the gateway makes for this reason; `None` where the status is somebody else's.
    #[must_use]
    pub const fn status(self) -> Option<StatusCode> {
        Some(match self {
            Self::Answered | Self::ClientGone => return None,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::BreakerOpen | Self::NoNode | Self::Exhausted | Self::Saturated => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::BodyUnreadable | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unreachable | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }
}
