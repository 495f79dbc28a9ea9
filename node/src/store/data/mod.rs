//! The tables of data management: series of raw JSON arrays by id and epoch second.

pub(super) mod sql;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::Epoch;

/// One of the three tables, by its number in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataTable {
    /// 1, `stock_data`.
    Stock = 1,
    /// 2, `financial_data`.
    Financial = 2,
    /// 3, `indicator_data`.
    Indicator = 3,
}

impl DataTable {
    /// The table with that number, if there is one.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Stock),
            2 => Some(Self::Financial),
            3 => Some(Self::Indicator),
            _ => None,
        }
    }

    /// Its number in the API.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// Its name in the documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock_data",
            Self::Financial => "financial_data",
            Self::Indicator => "indicator_data",
        }
    }
}

/// What becomes of the points that are stored already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveMode {
    /// They stay; equal timestamps are written over.
    #[default]
    Merge,
    /// They go.
    Replace,
}

/// Points of a series: a JSON array, as it was written, for each epoch second.
pub type Points = BTreeMap<Epoch, Box<RawValue>>;

/// A series to be saved.
#[derive(Clone, Debug)]
pub struct DataSave {
    /// Where.
    pub table: DataTable,
    /// Whose.
    pub id: String,
    /// What.
    pub points: Points,
    /// `YYYY-MM-DD hh:mm:ss`; kept from the first save. `None` takes `now`.
    pub create_time: Option<String>,
    /// The present, which becomes `updateTime`.
    pub now: Epoch,
    /// What becomes of the points that are stored already.
    pub mode: SaveMode,
}

/// A stored series. Serialises as the API's `DataInfo`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataInfo {
    /// Whose.
    pub id: String,
    /// The points.
    pub data: Points,
    /// `YYYY-MM-DD hh:mm:ss` of the first save.
    pub create_time: String,
    /// Epoch seconds of the last save.
    pub update_time: Epoch,
}

/// Which series to find, and which of their points.
#[derive(Clone, Debug)]
pub struct DataSearch {
    /// Where.
    pub table: DataTable,
    /// Whose; empty means all. Repeats collapse.
    pub ids: Vec<String>,
    /// First second of the range.
    pub start: Epoch,
    /// Last second of the range.
    pub end: Epoch,
    /// How many series at most.
    pub limit: usize,
    /// How many to leave out at the start.
    pub offset: usize,
}

/// What a search found. Serialises as the API answers.
#[derive(Clone, Debug, Serialize)]
pub struct DataPage {
    /// The page, ordered by id; each with its points in the range.
    pub rows: Vec<DataInfo>,
    /// How many series have points in the range, whatever the page.
    pub count: u64,
}
