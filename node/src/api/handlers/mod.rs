//! One function for each endpoint: from a routed request to an answer.

pub(super) mod hand_over;
pub(super) mod query;
pub(super) mod records;
pub(super) mod status;
pub(super) mod write;

use std::{fmt::Display, time::SystemTime};

use bytes::Bytes;
use http::request::Parts;

use super::{
    app::App,
    body,
    failure::{Failure, Unready},
    json::Quoted,
};
use crate::{model::Epoch, store::StoreError};

/// The body of a request that takes JSON.
async fn json_body<B>(app: &App, head: &Parts, body: B) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    body::expect_json(&head.headers)?;
    body::read(&head.headers, body, app.limits.body).await
}

/// What a client is told of an error of the store; the log gets the cause.
fn of_store(error: &StoreError) -> Failure {
    match error {
        StoreError::UnknownIndicator { name, line } => Failure::bad(format!(
            "line {line}: unknown indicator \"{}\": register it by POST \
             /kamaitachi/api/data/v1/indicators, or add ?create_indicators=true",
            Quoted(name)
        )),
        StoreError::InvalidIndicator { .. } => Failure::bad(error.to_string()),
        StoreError::TooManyRows { limit } => Failure::bad(format!(
            "the answer would hold more than {limit} rows: name fewer subjects, or a shorter time \
             from `from` to `to`"
        )),
        // What follows for the node was logged once, when its state changed.
        StoreError::DiskFull => Failure::DiskFull,
        StoreError::DiskFailed => {
            Failure::Busy("the disk of this node failed; nothing was written")
        }
        StoreError::Corrupt => Failure::Damaged,
        StoreError::Busy => Failure::Busy("the store is locked by another process; try again"),
        StoreError::Overloaded { what: "writes" } => {
            Failure::Busy("too many writes wait for the store; try again")
        }
        StoreError::Overloaded { .. } => {
            Failure::Busy("too many reads wait for the store; try again")
        }
        StoreError::Closed => Failure::NotReady(Unready::Draining),
        StoreError::Follows | StoreError::Diverged(_) => {
            Failure::Busy("this node follows a master and takes no writes of its own")
        }
        StoreError::Panicked | StoreError::Unexpected(_) => {
            tracing::error!(?error, "the store failed");
            Failure::Internal
        }
    }
}

/// The present, for what is written into data; never for measuring time.
fn now() -> Epoch {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Epoch::try_from(since.as_secs()).unwrap_or(Epoch::MAX)
}
