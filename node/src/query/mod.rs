//! From a typed query to a rendered answer: plan, cache, store, merge, render.

mod answer;
mod ask;
mod engine;
mod plan;
mod render;
mod source;
mod subjects;

pub use answer::{Answer, CacheStatus, QueryError, Stats};
pub use ask::{
    IndicatorList, Order, Page, Part, PeriodQuery, Scope, Selection, SnapshotQuery, SortField,
};
pub use engine::{Engine, Held, Parcel, Refused, Restored, Taken};
pub use source::Source;
pub use subjects::SubjectList;
#[cfg(test)]
pub(crate) mod testing;
