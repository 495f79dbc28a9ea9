//! Rows on their way in: the batch the writer takes, and the parsers that make one from text.

mod batch;

pub use batch::{RowBatch, RowFacts, RowWrite};
