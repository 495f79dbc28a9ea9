//! What can go wrong with a request, and the one place that maps it to HTTP.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use thiserror::Error;

use crate::model::Revision;

/// Why a request got no answer. The text is meant for the author of the client.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// Something in the request breaks a rule of the API.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// Nothing lives under this path.
    #[error("no such path; GET /openapi.json lists them all")]
    UnknownPath,
    /// The path is right, the thing it names is not there.
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    /// The path does not take this method.
    #[error("method not allowed here; allowed: {allow}")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
    /// The body, as sent or as unpacked, exceeds its limit.
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body is declared to be something this path does not read.
    #[error("{0}")]
    UnsupportedMediaType(Cow<'static, str>),
    /// The client did not deliver the body it announced.
    #[error("body could not be read to its end")]
    BodyCut,
    /// The body did not arrive in time.
    #[error("body did not arrive in time")]
    BodySlow,
    /// A write that reached a slave.
    #[error("this node is a slave and takes no writes; send it to the master at {master}")]
    NotMaster {
        /// Address of the master, or words that say it is not configured.
        master: String,
    },
    /// The node is still starting or already draining.
    #[error("the node is {}", .0.as_str())]
    NotReady(Unready),
    /// A reader wants newer data than this node has, and it did not come in time.
    #[error("this node is at revision {revision}, not yet at {wanted}; try again, or another node")]
    Behind {
        /// What the node is at.
        revision: Revision,
        /// What `X-Kamaitachi-Min-Revision` asks for.
        wanted: Revision,
    },
    /// More work of this kind is under way than the node takes at once.
    #[error("{0}")]
    Busy(&'static str),
    /// The answer took longer than the handler's deadline.
    #[error("no answer within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The disk is full.
    #[error("the disk of this node is full: nothing was written, reads go on")]
    DiskFull,
    /// The file is damaged.
    #[error("the database file of this node is damaged; its operator has to replace it")]
    Damaged,
    /// A fault of the node; the log has the cause.
    #[error("internal error; the log of the node has the cause")]
    Internal,
}

/// Why a node answers nothing, for now or for good. Whoever else has the data may be asked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It has just been started.
    Starting,
    /// It is on its way out.
    Draining,
}

impl Unready {
    /// The word for it in `X-Kamaitachi-Unavailable`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Draining => "draining",
        }
    }
}

impl Failure {
    /// A [`BadRequest`](Self::BadRequest) with these words.
    pub fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(message.into())
    }

    /// The status that tells a client who can act.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::BodyCut => StatusCode::BAD_REQUEST,
            Self::UnknownPath | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodySlow => StatusCode::REQUEST_TIMEOUT,
            Self::NotMaster { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::NotReady(_) | Self::Behind { .. } | Self::Busy(_) | Self::TooSlow(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Damaged | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What `X-Kamaitachi-Unavailable` says: that nothing was done, and another node may well
    /// answer.
    #[must_use]
    pub fn unavailable(&self) -> Option<&'static str> {
        match self {
            Self::NotReady(why) => Some(why.as_str()),
            Self::Behind { .. } => Some("behind"),
            _ => None,
        }
    }

    /// Seconds after which another try may succeed, where waiting helps at all.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NotReady(_) | Self::Behind { .. } | Self::Busy(_) | Self::TooSlow(_) => Some(1),
            Self::DiskFull => Some(30),
            Self::BadRequest(_)
            | Self::BodyCut
            | Self::UnknownPath
            | Self::NotFound(_)
            | Self::MethodNotAllowed { .. }
            | Self::TooLarge { .. }
            | Self::UnsupportedMediaType(_)
            | Self::BodySlow
            | Self::NotMaster { .. }
            | Self::Damaged
            | Self::Internal => None,
        }
    }
}
