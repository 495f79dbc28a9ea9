//! Making more knowledge out of knowledge and what the store answered.

use std::cmp::Ordering;

use kamaitachi_policies::coverage::Coverage;

use super::{Column, Head, Row, StockDataMap, text::RowText};
use crate::{
    model::{Epoch, IndicatorId, Revision, Subject},
    store::{Found, FoundRow, Need, Rows},
};

/// What was asked of the store and what it answered, all about one subject.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a> {
    /// What was asked.
    pub need: &'a Need,
    /// What was answered.
    pub found: &'a Found,
}

impl Learned<'_> {
    /// The stretch of time of which everything asked is known now.
    fn stretch(&self) -> (Epoch, Epoch) {
        match self.need.rows {
            Rows::Between { from, to } => (from, to),
            Rows::Newest { not_before, at } => {
                (self.found.rows.last().map_or(not_before, |row| row.report_date), at)
            }
        }
    }
}

/// Where a row of the new map comes from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Old(usize),
    Found(&'a Need, &'a FoundRow),
}

impl StockDataMap {
    /// What `old` and what was `learned` say together, as of `revision`.
    ///
    /// `old` must still be true at `revision`. The order in which things are learned makes no
    /// difference, and learning a thing twice none either.
    ///
    /// # Panics
    /// If what the rows of one subject say of themselves passes 4 GiB.
    #[must_use]
    pub fn merge(
        old: Option<&Self>,
        subject: &Subject,
        learned: &[Learned<'_>],
        revision: Revision,
    ) -> Self {
        let told = learned.iter().find_map(|one| one.found.subject.as_ref());
        let head = match (told, old) {
            (Some(info), _) => Head::new(subject, info),
            (None, Some(old)) if learned.is_empty() && old.exists() => old.head.clone(),
            (None, _) => return Self::unknown(subject.clone(), revision),
        };
        let old = old.filter(|old| old.exists());
        let (columns, known) = columns(old, learned);
        let origins = origins(old, learned);
        let (rows, text) = rows(old, &origins);
        let values = values(old, &origins, &columns, rows.len());
        Self { subject: subject.clone(), head, revision, rows, text, columns, known, values }
    }

    /// The knowledge that there is no such subject.
    #[must_use]
    pub fn unknown(subject: Subject, revision: Revision) -> Self {
        Self {
            subject,
            head: Head::default(),
            revision,
            rows: Box::default(),
            text: Box::default(),
            columns: Box::default(),
            known: Box::new([Coverage::everything()]),
            values: Box::default(),
        }
    }
}

/// All indicators of either side, and the distinct coverages they have now.
fn columns(
    old: Option<&StockDataMap>,
    learned: &[Learned<'_>],
) -> (Box<[Column]>, Box<[Coverage]>) {
    let mut rows = old.map_or_else(Coverage::new, |old| old.known_rows().clone());
    for one in learned {
        let (from, to) = one.stretch();
        rows.insert(from, to);
    }
    let mut known = vec![rows];
    let mut ids: Vec<IndicatorId> = old.into_iter().flat_map(StockDataMap::indicators).collect();
    ids.extend(learned.iter().flat_map(|one| one.need.indicators.iter().copied()));
    ids.sort_unstable();
    ids.dedup();
    let columns = ids.into_iter().map(|id| {
        let mut own = old.map_or_else(Coverage::new, |old| old.known(id).clone());
        for one in learned.iter().filter(|one| one.need.indicators.contains(&id)) {
            let (from, to) = one.stretch();
            own.insert(from, to);
        }
        let place = known.iter().position(|other| *other == own).unwrap_or_else(|| {
            known.push(own);
            known.len() - 1
        });
        Column { id, known: u16::try_from(place).expect("no more coverages than indicators") }
    });
    (columns.collect(), known.into())
}

/// The rows of both sides by date; of one date, what was found stands behind what was there.
fn origins<'a>(old: Option<&StockDataMap>, learned: &[Learned<'a>]) -> Vec<(Epoch, Origin<'a>)> {
    let mut all: Vec<_> = old
        .into_iter()
        .flat_map(|old| (0..old.len()).map(|row| (old.report_date(row), Origin::Old(row))))
        .collect();
    for one in learned {
        let found = one.found.rows.iter();
        all.extend(found.map(|row| (row.report_date, Origin::Found(one.need, row))));
    }
    // Two sorted runs in the usual case, which a stable sort merges in linear time.
    all.sort_by_key(|(date, _)| *date);
    all
}

/// Runs over what belongs to one row at a time.
fn by_date<'o, 'a>(
    origins: &'o [(Epoch, Origin<'a>)],
) -> impl Iterator<Item = &'o [(Epoch, Origin<'a>)]> {
    origins.chunk_by(|(a, _), (b, _)| a.cmp(b) == Ordering::Equal)
}

fn rows(old: Option<&StockDataMap>, origins: &[(Epoch, Origin<'_>)]) -> (Box<[Row]>, Box<[u8]>) {
    let mut text = RowText::default();
    let mut rows = Vec::with_capacity(origins.len());
    for same in by_date(origins) {
        // The last to be learned says best what the row is; all agree at one revision.
        rows.extend(same.last().and_then(|(date, origin)| match origin {
            Origin::Old(row) => old.map(|old| text.copy(*date, old.facts(*row))),
            Origin::Found(_, found) => Some(text.push(*date, &found.info)),
        }));
    }
    (rows.into(), text.text.into())
}

fn values(
    old: Option<&StockDataMap>,
    origins: &[(Epoch, Origin<'_>)],
    columns: &[Column],
    rows: usize,
) -> Box<[f64]> {
    let mut values = vec![f64::NAN; columns.len() * rows];
    let place = |id: &IndicatorId| columns.binary_search_by_key(id, |column| column.id).ok();
    let old_columns: Vec<(usize, &[f64])> = old
        .into_iter()
        .flat_map(|old| old.indicators().filter_map(|id| Some((place(&id)?, old.column(id)?))))
        .collect();
    for (row, same) in by_date(origins).enumerate() {
        for (_, origin) in same {
            match origin {
                Origin::Old(from) => {
                    for (column, old_values) in &old_columns {
                        values[column * rows + row] = old_values[*from];
                    }
                }
                Origin::Found(need, found) => {
                    for (id, value) in need.indicators.iter().zip(&found.values) {
                        if let (Some(column), Some(value)) = (place(id), value)
                            && value.is_finite()
                        {
                            values[column * rows + row] = *value;
                        }
                    }
                }
            }
        }
    }
    values.into()
}
