//! From a typed query to a rendered answer: plan, cache, store, merge, render.

mod answer;
mod ask;
mod source;
mod subjects;

pub use answer::{Answer, CacheStatus, QueryError};
pub use ask::{
    IndicatorList, Order, Page, PeriodQuery, Scope, Selection, SnapshotQuery, SortField,
};
pub use source::{Source, SourceError};
pub use subjects::SubjectList;
