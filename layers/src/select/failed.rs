//! An error and whose it is.
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tower::BoxError;

use crate::retry::HandedBack;

/// An error of one member's service, with the member's name.
///
/// The service's own error is its [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("{member} failed")]
pub struct Failed {
    member: Arc<str>,
    last: bool,
    // Present if the service handed the request back.
    request: Option<Box<Request<Bytes>>>,
    #[source]
    source: BoxError,
}

impl Failed {
    pub(super) fn new(member: Arc<str>, last: bool, error: BoxError) -> Self {
        match error.downcast::<HandedBack>() {
            Ok(back) => {
                let (request, source) = back.into_parts();
                Self { member, last, request: Some(Box::new(request)), source }
            }
            Err(source) => Self { member, last, request: None, source },
        }
    }

    /// The member that failed.
    #[must_use]
    pub fn member(&self) -> &Arc<str> {
        &self.member
    }

    /// Whether every member was tried by now.
    #[must_use]
    pub fn was_last(&self) -> bool {
        self.last
    }

    pub(crate) fn take_request(&mut self) -> Option<Request<Bytes>> {
        self.request.take().map(|request| *request)
    }
}
