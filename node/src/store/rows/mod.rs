//! Rows on their way in: the batch the writer takes, and the parsers that make one from text.
//!
//! One row is `{"subject":"33:000001","report_date":1703980800,"data":{"operating_income":1.5}}`
//! as a line of NDJSON, or a record of CSV under a header with the same names, each indicator a
//! column of its own. Beside `subject` and `report_date`, which every row has, it may name the
//! texts of [`RowFacts`].
//!
//! - A text that is `null` or empty is absent: what is stored stays.
//! - An indicator that is `null`, or an empty cell of CSV, becomes NULL; one that is not named
//!   keeps its stored value.
//! - Names that are not known, keys that repeat, and numbers that are not finite are refused.

mod batch;
mod check;
mod csv;
mod ndjson;
mod reader;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use self::reader::Refused;
pub use self::{
    batch::{RowBatch, RowFacts, RowWrite},
    check::check_subject,
    reader::{BadRows, Format, RowReader, parse},
};
