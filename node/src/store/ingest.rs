//! Upserts of rows, and the registration of indicators.

use std::{collections::HashMap, sync::Arc};

use super::{
    StoreError,
    facts::{self, DEFAULT_CATEGORY, DEFAULT_TOPIC, Facts},
    job::Writing,
    rows::{RowBatch, RowFacts},
    schema::add_indicator,
    upsert::Upsert,
};
use crate::model::Subject;

/// Adds columns for those of `names` that are new; answers how many those are.
pub(super) fn register(writing: &mut Writing<'_>, names: &[String]) -> Result<usize, StoreError> {
    let mut new = 0;
    for name in names {
        new += usize::from(add_indicator(writing.conn, &mut writing.indicators, name, 0)?);
    }
    Ok(new)
}

/// Upserts the rows of a batch; answers how many there were.
///
/// Facts of a subject are merged over the whole batch first, so that new rows carry them as they
/// will be; a fact that changed is also written to the subject's newest row. So the newest row
/// always tells what `subjects` tells, and `subjects` can be drawn from the rows again.
pub(super) fn rows(
    writing: &mut Writing<'_>,
    batch: &RowBatch,
    create: bool,
) -> Result<usize, StoreError> {
    let columns = columns(writing, batch, create)?;
    let mut subjects = merge_facts(writing, batch)?;
    let mut upsert = Upsert::new(writing.conn, columns);
    for row in &batch.rows {
        if let Some(subject) = subjects.get_mut(&row.subject)
            && upsert.row(row, &subject.facts)?
        {
            subject.facts.rows += 1;
        }
    }
    for (key, subject) in subjects {
        finish(writing, key, &subject)?;
    }
    writing.touched.subjects.sort_unstable();
    Ok(batch.len())
}

/// The column of each indicator of the batch, created where that is allowed.
fn columns(
    writing: &mut Writing<'_>,
    batch: &RowBatch,
    create: bool,
) -> Result<Vec<Arc<str>>, StoreError> {
    if create {
        for (name, line) in batch.indicators.names().iter().zip(&batch.first_lines) {
            add_indicator(writing.conn, &mut writing.indicators, name, *line)?;
        }
    } else if let Some((name, line)) = batch.first_unknown(&writing.indicators) {
        return Err(StoreError::UnknownIndicator { name, line });
    }
    Ok(batch.indicators.names().to_vec())
}

/// A subject of a batch: its facts as they were and as they will be.
struct Merged {
    before: Option<Facts>,
    facts: Facts,
}

fn merge_facts<'b>(
    writing: &Writing<'_>,
    batch: &'b RowBatch,
) -> Result<HashMap<&'b Subject, Merged>, StoreError> {
    let mut subjects = HashMap::new();
    for row in &batch.rows {
        let merged = match subjects.entry(&row.subject) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let before = facts::load(writing.conn, &row.subject)?;
                let facts = before.clone().unwrap_or_else(unnamed);
                new.insert(Merged { before, facts })
            }
        };
        if let Some(named) = &row.facts {
            merge(&mut merged.facts, named);
        }
    }
    Ok(subjects)
}

/// A subject of which nothing was said yet.
fn unnamed() -> Facts {
    let mut facts = Facts { topic: Some(DEFAULT_TOPIC.into()), ..Facts::default() };
    facts.info.category = Some(DEFAULT_CATEGORY.into());
    facts
}

fn merge(facts: &mut Facts, named: &RowFacts) {
    let take = |to: &mut Option<Arc<str>>, from: &Option<Arc<str>>| {
        if from.is_some() {
            to.clone_from(from);
        }
    };
    take(&mut facts.info.name, &named.name);
    take(&mut facts.info.status, &named.status);
    take(&mut facts.info.listing_date, &named.listing_date);
    take(&mut facts.info.category, &named.category);
    take(&mut facts.topic, &named.topic);
}

/// Stores a subject's facts and counts what is new.
fn finish(writing: &mut Writing<'_>, key: &Subject, subject: &Merged) -> Result<(), StoreError> {
    let Merged { before, facts } = subject;
    facts::save(writing.conn, writing.revision, key, facts)?;
    match before {
        Some(before) if before.info == facts.info && before.topic == facts.topic => {}
        Some(before) => {
            facts::write_to_newest(writing.conn, key, facts)?;
            writing.touched.membership |= before.topic != facts.topic;
        }
        None => {
            writing.totals.subjects += 1;
            writing.touched.membership = true;
        }
    }
    let rows_before = before.as_ref().map_or(0, |before| before.rows);
    writing.totals.records += facts.rows - rows_before;
    writing.touched.subjects.push(Arc::clone(key));
    Ok(())
}
