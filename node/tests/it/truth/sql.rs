//! What is true: the rows of the file, by plain SQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::INDICATORS;

/// What the file holds, read with plain SQL.
pub(super) struct Truth {
    pub(super) rows: BTreeMap<(String, i64), Row>,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) tags: BTreeSet<(String, String)>,
}

pub(super) struct Row {
    pub(super) subject: String,
    pub(super) date: i64,
    pub(super) end_date: String,
    pub(super) year: String,
    pub(super) period: String,
    pub(super) declare_date: Option<String>,
    pub(super) values: BTreeMap<&'static str, Option<f64>>,
}

pub(super) struct Facts {
    name: Option<String>,
    category: Option<String>,
    pub(super) topic: String,
}

impl Facts {
    pub(super) fn json(&self, subject: &str) -> Value {
        json!({"subject": subject, "name": self.name.as_deref().unwrap_or(subject), "status": "213001",
               "listing_date": "", "category": self.category.as_deref().unwrap_or("stock")})
    }
}

impl Truth {
    pub(super) fn read(db: &Path) -> Self {
        let connection = Connection::open(db).unwrap();
        let columns = INDICATORS.join(",");
        let sql = format!(
            "SELECT subject_key, report_date, end_date, year, period, declare_date, {columns} FROM finance_data"
        );
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| {
            let text = |at: usize| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
            let values =
                INDICATORS.iter().enumerate().map(|(n, id)| (*id, row.get(6 + n).unwrap()));
            Ok(Row {
                subject: row.get(0)?,
                date: row.get(1)?,
                end_date: text(2)?,
                year: text(3)?,
                period: text(4)?,
                declare_date: row.get(5)?,
                values: values.collect(),
            })
        });
        let rows =
            rows.unwrap().map(|row| row.map(|row| ((row.subject.clone(), row.date), row)).unwrap());
        let rows = rows.collect();
        let mut statement = connection
            .prepare("SELECT subject_key, name, category, topic FROM subjects WHERE row_count > 0")
            .unwrap();
        let facts = statement.query_map([], |row| {
            let facts = Facts { name: row.get(1)?, category: row.get(2)?, topic: row.get(3)? };
            Ok((row.get(0)?, facts))
        });
        let facts = facts.unwrap().map(Result::unwrap).collect();
        let mut statement =
            connection.prepare("SELECT subject_key, keyword FROM subject_tags").unwrap();
        let tags = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let tags = tags.unwrap().map(Result::unwrap).collect();
        Self { rows, facts, tags }
    }

    pub(super) fn rows_of(
        &self,
        subject: &str,
        from: i64,
        to: i64,
    ) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.range((subject.to_owned(), from)..=(subject.to_owned(), to)).map(|(_, row)| row)
    }
}
