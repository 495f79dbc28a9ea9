//! What can be asked: checked, typed, free of HTTP.

use smallvec::SmallVec;

use super::SubjectList;
use crate::model::{Epoch, IndicatorId};

/// Indicators in the order of the request, each once. Inline up to what requests usually name.
pub type IndicatorList = SmallVec<[IndicatorId; 8]>;

/// The newest row of each subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// What to answer of each row; not empty.
    pub indicators: IndicatorList,
    /// Whose rows.
    pub scope: Scope,
    /// How to sort, and which part of the sorted rows to answer.
    pub page: Page,
    /// The newest row at or before this time; `None` is the newest of all.
    pub at: Option<Epoch>,
}

/// All rows in a range of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodQuery {
    /// What to answer of each row; not empty.
    pub indicators: IndicatorList,
    /// Whose rows.
    pub scope: Scope,
    /// First second of the range.
    pub from: Epoch,
    /// Last second of the range; not before `from`.
    pub to: Epoch,
}

/// Whose rows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These, in this order.
    Subjects(SubjectList),
    /// All members of a topic, in ascending order.
    Topic(String),
    /// Those of the list that are members of the topic, in the order of the list.
    TopicAnd(String, SubjectList),
    /// The members of a topic that are tagged, in ascending order.
    Selection(Selection),
}

/// Picks the members of a topic by their tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What the tags speak of, such as `concept`.
    pub id: String,
    /// The topic to pick from.
    pub topic: String,
    /// What a tag's keyword must contain, whatever the case; empty matches every keyword.
    pub keyword: String,
    /// Only these, where given.
    pub subjects: Option<SubjectList>,
}

/// How to sort, and which part of the sorted rows to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// What to sort by. Rows without that value come last in both orders; ties are broken by
    /// subject, ascending.
    pub field: SortField,
    /// In which order.
    pub order: Order,
    /// How many rows to leave out first.
    pub offset: usize,
    /// How many rows to answer at the most.
    pub limit: usize,
}

/// What rows can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortField {
    /// The value of an indicator, which need not be among those answered.
    Indicator(IndicatorId),
    /// The row's date, as a number.
    ReportDate,
    /// The last day of the period, as text.
    EndDate,
    /// The year, as text.
    Year,
    /// The subject, as text.
    Subject,
}

/// Which way to sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Small first.
    Ascending,
    /// Large first.
    #[default]
    Descending,
}

/// A query about some of the subjects of a larger question, whose other subjects other nodes are asked about.
///
/// Its answer starts at the first row whatever the page, and holds behind the data what it takes to merge it with
/// the others' into the answer that one node would give to all: `"part":{…}`.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The newest row of each subject: the first `offset + limit` of them. The part holds `order` (1 or -1), `offset`
    /// and `limit` as this node understood them, `subjects` (those of the rows) and, unless rows are sorted by the
    /// subject, `values` (those they are sorted by, `null` where there is none).
    Snapshot(&'a SnapshotQuery),
    /// All rows in a range of time. The part holds `rows`, `max_rows` (what one answer may hold) and `subjects`.
    Period(&'a PeriodQuery),
    /// The same by the end of their period: the first `offset + limit` of each. The part holds all of the above,
    /// `subjects` and `values` as a list for each date.
    ByDate(&'a PeriodQuery, &'a Page),
}
