//! One row into `finance_data`: an update, or else an insert.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{CachedStatement, Connection, Statement, ToSql};

use super::{
    StoreError,
    dates::Day,
    facts::Facts,
    rows::{RowFacts, RowWrite},
    schema::quoted,
};
use crate::model::IndicatorId;

/// Statements kept for rows of different shape; more shapes than this start over.
const SHAPES: usize = 32;

/// The texts a row may name, in the order of [`named`].
const TEXTS: [&str; 9] = [
    "stock_name",
    "end_date",
    "year",
    "period",
    "declare_date",
    "category",
    "topic",
    "status",
    "listing_date",
];

/// The texts a row writes: its own as it names them, those of its subject as the whole batch leaves
/// them, for a later row may name them anew.
fn named<'a>(facts: &'a RowFacts, subject: &'a Facts) -> [Option<&'a str>; 9] {
    let Facts { info, topic, .. } = subject;
    [
        facts.name.as_ref().and(info.name.as_deref()),
        facts.end_date.as_deref(),
        facts.year.as_deref(),
        facts.period.as_deref(),
        facts.declare_date.as_deref(),
        facts.category.as_ref().and(info.category.as_deref()),
        facts.topic.as_ref().and(topic.as_deref()),
        facts.status.as_ref().and(info.status.as_deref()),
        facts.listing_date.as_ref().and(info.listing_date.as_deref()),
    ]
}

/// Which columns a row writes.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    /// A bit for each named text.
    texts: u16,
    values: Box<[IndicatorId]>,
}

struct Statements<'c> {
    update: CachedStatement<'c>,
    insert: CachedStatement<'c>,
}

/// Upserts rows. Rows of the same shape share their statements, and those of small batches share
/// them through the connection: to prepare one costs more than to write a row with it.
pub(super) struct Upsert<'c> {
    conn: &'c Connection,
    /// Column names by the batch's numbers.
    columns: Vec<Arc<str>>,
    statements: HashMap<Shape, Statements<'c>>,
}

impl<'c> Upsert<'c> {
    pub(super) fn new(conn: &'c Connection, columns: Vec<Arc<str>>) -> Self {
        Self { conn, columns, statements: HashMap::new() }
    }

    /// Writes one row of a subject with these facts; answers whether it is new.
    pub(super) fn row(&mut self, row: &RowWrite, subject: &Facts) -> Result<bool, StoreError> {
        let nothing = RowFacts::default();
        let facts = row.facts.as_deref().unwrap_or(&nothing);
        let texts = named(facts, subject);
        let statements = self.statements(row, &texts)?;
        if update(&mut statements.update, row, &texts)? {
            return Ok(false);
        }
        insert(&mut statements.insert, row, facts, subject)?;
        Ok(true)
    }

    fn statements(
        &mut self,
        row: &RowWrite,
        texts: &[Option<&str>; 9],
    ) -> Result<&mut Statements<'c>, StoreError> {
        let bit = |bits, text: &Option<&str>| bits << 1 | u16::from(text.is_some());
        let texts = texts.iter().rev().fold(0, bit);
        let shape = Shape { texts, values: row.values.iter().map(|(id, _)| *id).collect() };
        if !self.statements.contains_key(&shape) && self.statements.len() >= SHAPES {
            self.statements.clear();
        }
        match self.statements.entry(shape) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(new) => {
                let values: Vec<String> = new
                    .key()
                    .values
                    .iter()
                    .map(|id| quoted(&self.columns[usize::from(id.0)]))
                    .collect();
                let update = self.conn.prepare_cached(&update_sql(new.key().texts, &values))?;
                let insert = self.conn.prepare_cached(&insert_sql(&values))?;
                Ok(new.insert(Statements { update, insert }))
            }
        }
    }
}

fn update_sql(texts: u16, values: &[String]) -> String {
    let texts = TEXTS.iter().enumerate().filter(|(n, _)| texts >> n & 1 == 1);
    let columns: Vec<String> = texts
        .map(|(_, text)| format!("{text} = ?"))
        .chain(values.iter().map(|v| format!("{v} = ?")))
        .collect();
    // A row that names nothing still has to be looked for.
    let set = if columns.is_empty() { "year = year".into() } else { columns.join(", ") };
    format!("UPDATE finance_data SET {set} WHERE subject_key = ? AND report_date = ?")
}

fn insert_sql(values: &[String]) -> String {
    let mut columns = vec!["market_code", "stock_code", "subject_key", "report_date"];
    columns.extend(TEXTS);
    columns.extend(values.iter().map(String::as_str));
    let marks = vec!["?"; columns.len()].join(", ");
    format!("INSERT INTO finance_data ({}) VALUES ({marks})", columns.join(", "))
}

/// Binds parameters one after the other.
struct Binder<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl<'s, 'c> Binder<'s, 'c> {
    fn new(statement: &'s mut Statement<'c>) -> Self {
        Self { statement, next: 1 }
    }

    fn bind(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.statement.raw_bind_parameter(self.next, value)?;
        self.next += 1;
        Ok(())
    }
}

fn update(
    statement: &mut Statement<'_>,
    row: &RowWrite,
    texts: &[Option<&str>; 9],
) -> Result<bool, StoreError> {
    let mut binder = Binder::new(statement);
    for text in texts.iter().flatten() {
        binder.bind(*text)?;
    }
    for (_, value) in &row.values {
        binder.bind(value)?;
    }
    binder.bind(&*row.subject)?;
    binder.bind(row.report_date)?;
    Ok(statement.raw_execute()? > 0)
}

fn insert(
    statement: &mut Statement<'_>,
    row: &RowWrite,
    facts: &RowFacts,
    subject: &Facts,
) -> Result<(), StoreError> {
    let (market, code) = row.subject.split_once(':').unwrap_or(("", &row.subject));
    let day = Day::of(row.report_date);
    let mut binder = Binder::new(statement);
    binder.bind(market)?;
    binder.bind(code)?;
    binder.bind(&*row.subject)?;
    binder.bind(row.report_date)?;
    binder.bind(&subject.info.name)?;
    match &facts.end_date {
        Some(end_date) => binder.bind(&**end_date)?,
        None => binder.bind(day.to_string())?,
    }
    match &facts.year {
        Some(year) => binder.bind(&**year)?,
        None => binder.bind(day.year())?,
    }
    binder.bind(facts.period.as_deref().unwrap_or(day.period()))?;
    binder.bind(&facts.declare_date)?;
    binder.bind(&subject.info.category)?;
    binder.bind(&subject.topic)?;
    binder.bind(&subject.info.status)?;
    binder.bind(&subject.info.listing_date)?;
    for (_, value) in &row.values {
        binder.bind(value)?;
    }
    statement.raw_execute()?;
    Ok(())
}
