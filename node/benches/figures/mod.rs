//! A store in no time: every subject there could be, with figures made up from numbers.

#![allow(dead_code, reason = "each bench uses what it needs of it")]

use std::sync::Arc;

use kamaitachi_node::{
    model::{Epoch, IndicatorId, Indicators, Revision, RowInfo, Subject, SubjectInfo},
    query::{
        IndicatorList, Order, Page, PeriodQuery, Scope, SnapshotQuery, SortField, Source,
        SubjectList,
    },
    store::{Found, FoundRow, Mark, Need, Rows, StoreError},
};

/// Seconds from one row to the next.
pub(crate) const QUARTER: Epoch = 7_889_238;
/// Members of every topic.
pub(crate) const MEMBERS: usize = 10_000;

/// Every subject has this many quarters of six indicators.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) rows: i64,
}

impl Figures {
    fn answer(self, need: &Need) -> Found {
        let row = |quarter: i64| FoundRow {
            report_date: quarter * QUARTER,
            info: RowInfo {
                end_date: format!("{:04}-12-31", 1000 + quarter).into(),
                period: "596004".into(),
                declare_date: (quarter % 2 == 0).then(|| "2021-04-30".into()),
                year: format!("{:04}", 1000 + quarter).into(),
            },
            values: need
                .indicators
                .iter()
                .map(|id| Some((quarter * 7919 + i64::from(id.0)) as f64 * 1_234.567_8))
                .collect(),
        };
        let rows = match need.rows {
            Rows::Between { from, to } => (0..self.rows)
                .filter(|quarter| (from..=to).contains(&(quarter * QUARTER)))
                .map(row)
                .collect(),
            Rows::Newest { .. } => vec![row(self.rows - 1)],
        };
        Found { subject: Some(SubjectInfo::default()), rows }
    }

    /// A time after all rows.
    pub(crate) fn end(self) -> Epoch {
        self.rows * QUARTER
    }
}

impl Source for Figures {
    async fn read(&self, needs: Vec<Need>) -> Result<(Revision, Vec<Found>), StoreError> {
        Ok((1, needs.iter().map(|need| self.answer(need)).collect()))
    }

    async fn topic_members(&self, _: &str) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, (0..MEMBERS).map(|i| name(i).into()).collect()))
    }

    async fn tagged(
        &self,
        topic: &str,
        _: &str,
        _: &str,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        self.topic_members(topic).await
    }

    async fn changes_since(&self, _: Revision) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, Vec::new()))
    }

    fn mark(&self) -> Arc<Mark> {
        Arc::new(Mark { revision: 1, ..Mark::default() })
    }

    async fn nonce_of(&self, _: Revision) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    fn revision(&self) -> Revision {
        1
    }

    fn indicators(&self) -> Arc<Indicators> {
        Arc::new(Indicators::new([
            "operating_income",
            "parent_holder_net_profit",
            "total_operating_cost",
            "net_profit",
            "operating_profit",
            "total_profit",
        ]))
    }
}

/// The name of a subject.
pub(crate) fn name(subject: usize) -> String {
    format!("33:{subject:08}")
}

/// Subjects by number.
pub(crate) fn subjects(numbers: std::ops::Range<usize>) -> Scope {
    Scope::Subjects(numbers.map(name).collect::<SubjectList>())
}

/// Indicators by number.
pub(crate) fn ids(ids: &[u16]) -> IndicatorList {
    ids.iter().map(|id| IndicatorId(*id)).collect()
}

/// The newest rows, the first twenty of them.
pub(crate) fn snapshot(scope: Scope, of: &[u16], field: SortField) -> SnapshotQuery {
    let page = Page { field, order: Order::Descending, offset: 0, limit: 20 };
    SnapshotQuery { indicators: ids(of), scope, page, at: None }
}

/// All rows.
pub(crate) fn period(scope: Scope, of: &[u16], to: Epoch) -> PeriodQuery {
    PeriodQuery { indicators: ids(of), scope, from: 0, to }
}
