//! What the tests of queries and caches share: a naive store, and one that can be held up.

mod mock;
mod world;

pub(crate) use mock::Mock;
pub(crate) use world::World;

use std::sync::Arc;

use serde_json::Value;

use super::{Answer, IndicatorList, Order, Page, SortField};
use crate::model::{IndicatorId, Indicators};

/// Indicators `i0` to `i5`.
pub(crate) fn indicators() -> Arc<Indicators> {
    Arc::new(Indicators::new((0..6).map(|i| format!("i{i}"))))
}

pub(crate) fn ids(ids: &[u16]) -> IndicatorList {
    ids.iter().map(|id| IndicatorId(*id)).collect()
}

/// The names under which answers carry these.
pub(crate) fn names(ids: &IndicatorList) -> Vec<(IndicatorId, String)> {
    ids.iter().map(|id| (*id, format!("i{}", id.0))).collect()
}

/// The first hundred, by subject.
pub(crate) fn by_subject() -> Page {
    Page { field: SortField::Subject, order: Order::Ascending, offset: 0, limit: 100 }
}

/// What an answer's envelope holds.
pub(crate) fn data(answer: &Answer) -> Value {
    let text = String::from_utf8_lossy(&answer.body);
    let mut envelope: Value =
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(envelope["status_code"], 0, "{text}");
    assert_eq!(envelope["status_msg"], "success", "{text}");
    envelope["data"].take()
}
