//! What nodes answer to parts: the data with its rows as they were written, and in `part` what it takes to merge them.
//!
//! Nothing has a default, so that the answer of a node that knows nothing of parts is none of these.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::super::question::Text;

/// JSON values as they were written.
pub(super) type List<'a> = Vec<&'a RawValue>;

/// The newest rows, sorted.
#[derive(Deserialize)]
pub(super) struct Newest<'a> {
    #[serde(borrow)]
    pub(super) data: List<'a>,
    #[serde(borrow)]
    pub(super) part: NewestPart<'a>,
}

#[derive(Deserialize)]
pub(super) struct NewestPart<'a> {
    pub(super) order: i8,
    pub(super) offset: usize,
    pub(super) limit: usize,
    #[serde(borrow)]
    pub(super) subjects: Vec<Text<'a>>,
    /// Not there where rows are sorted by their subjects.
    #[serde(borrow)]
    pub(super) values: Option<List<'a>>,
}

/// The rows of each subject.
#[derive(Deserialize)]
pub(super) struct Period<'a> {
    #[serde(borrow)]
    pub(super) data: List<'a>,
    #[serde(borrow)]
    pub(super) part: PeriodPart<'a>,
}

#[derive(Deserialize)]
pub(super) struct PeriodPart<'a> {
    pub(super) rows: usize,
    pub(super) max_rows: usize,
    #[serde(borrow)]
    pub(super) subjects: Vec<Text<'a>>,
}

/// The rows of each date, sorted.
#[derive(Deserialize)]
pub(super) struct ByDate<'a> {
    #[serde(borrow)]
    pub(super) data: Dates<'a>,
    #[serde(borrow)]
    pub(super) part: ByDatePart<'a>,
}

/// An object by date, in its order.
pub(super) struct Dates<'a>(pub(super) Vec<(&'a str, List<'a>)>);

#[derive(Deserialize)]
pub(super) struct ByDatePart<'a> {
    pub(super) order: i8,
    pub(super) offset: usize,
    pub(super) limit: usize,
    pub(super) rows: usize,
    pub(super) max_rows: usize,
    #[serde(borrow)]
    pub(super) subjects: Vec<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(super) values: Option<Vec<List<'a>>>,
}

/// Records, by their ids.
#[derive(Deserialize)]
pub(super) struct Records<'a> {
    #[serde(borrow)]
    pub(super) data: RecordsData<'a>,
    #[serde(borrow)]
    pub(super) part: RecordsPart<'a>,
}

#[derive(Deserialize)]
pub(super) struct RecordsData<'a> {
    #[serde(borrow)]
    pub(super) rows: List<'a>,
    pub(super) count: u64,
}

#[derive(Deserialize)]
pub(super) struct RecordsPart<'a> {
    pub(super) offset: usize,
    pub(super) limit: usize,
    #[serde(borrow)]
    pub(super) subjects: Vec<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Dates<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Dates<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object by date")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Dates<'de>, M::Error> {
                let mut dates = Vec::new();
                // Dates that hold an escape are none that could be written again as they were: they are refused.
                while let Some(date) = map.next_entry()? {
                    dates.push(date);
                }
                Ok(Dates(dates))
            }
        }
        reader.deserialize_map(InOrder)
    }
}
