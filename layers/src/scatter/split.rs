//! What is passed in: how to split, and how to merge.
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::{head::Head, key::RoutingKey};

/// Makes parts of requests.
pub trait Split {
    /// What puts the answers together.
    type Merge: Merge;

    /// The parts of a request, or `None` where it is to go whole, as what cannot be understood should: whoever answers
    /// it says what is wrong with it.
    fn split(&self, head: Head<'_>, body: &Bytes) -> Option<Parts<Self::Merge>>;
}

/// A request in parts.
#[derive(Clone, Debug)]
pub struct Parts<M> {
    /// The parts. None at all is the same as a whole request.
    pub parts: Vec<Part>,
    /// Header fields of each part, in the place of the request's own of these names. All other fields, the method, the
    /// target and the extensions are the request's.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// What puts the answers together.
    pub merge: M,
}

/// One part of a request.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is routed by.
    pub key: RoutingKey,
    /// Its body.
    pub body: Bytes,
}

/// Puts answers together.
pub trait Merge {
    /// One answer of those to all parts, in their order; `None` if they do not fit together. What its head says of the
    /// length of its body does not count.
    fn merge(self, answers: Vec<Response<Bytes>>) -> Option<Response<Bytes>>;

    /// What a part's answer with this status means for the request. Unless told otherwise 200 is to be merged, a 5xx
    /// is final, and anything else is for the whole request to get.
    fn judge(&self, status: StatusCode) -> Verdict {
        if status == StatusCode::OK {
            Verdict::Merge
        } else if status.is_server_error() {
            Verdict::Final
        } else {
            Verdict::Whole
        }
    }
}

/// What becomes of a part's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is read, to be merged with the others.
    Merge,
    /// It is the answer to the request, as it is.
    Final,
    /// It is dropped with all others, and the request is sent whole.
    Whole,
}
