//! The right answer, computed from the database without any of the code that is measured.
//!
//! All rows of the pool's subjects are read into memory; a query is then answered by the plainest
//! code that follows the API's description: newest row, filter, sort, page.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde_json::{Map, Value, json};

use crate::workload::{INDICATORS, Query, SUBJECTS};

/// The rows of one subject by date, each with the indicators that have a value.
type Rows = BTreeMap<i64, HashMap<&'static str, f64>>;

/// Facts of a subject: the column, the name in answers, and what stands for a missing one.
const FACTS: [(&str, &str, &str); 4] = [
    ("stock_name", "name", ""),
    ("status", "status", "213001"),
    ("listing_date", "listing_date", ""),
    ("category", "category", "stock"),
];

/// Answers queries from a copy of the data.
#[derive(Debug)]
pub struct Oracle {
    rows: HashMap<&'static str, Rows>,
    facts: HashMap<&'static str, Map<String, Value>>,
}

impl Oracle {
    /// Reads the pool's subjects from a node's database. Nothing is written to it.
    ///
    /// # Errors
    /// Where the file can't be read or has no `finance_data`.
    pub fn open(file: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(file, flags)?;
        let columns = INDICATORS.join(", ");
        // By ascending id: where a date repeats, the highest id counts.
        let mut statement = db.prepare(&format!(
            "SELECT report_date, {columns} FROM finance_data WHERE subject_key = ?1 ORDER BY id"
        ))?;
        let mut rows = HashMap::new();
        for subject in SUBJECTS {
            let mut of_subject = Rows::new();
            let mut found = statement.query([subject])?;
            while let Some(row) = found.next()? {
                let mut values = HashMap::new();
                for (column, name) in INDICATORS.into_iter().enumerate() {
                    match row.get_ref(column + 1)? {
                        ValueRef::Real(value) => drop(values.insert(name, value)),
                        #[expect(clippy::cast_precision_loss, reason = "as SQLite would store it")]
                        ValueRef::Integer(value) => drop(values.insert(name, value as f64)),
                        _ => {}
                    }
                }
                of_subject.insert(row.get(0)?, values);
            }
            rows.insert(subject, of_subject);
        }
        let mut facts = HashMap::new();
        for subject in SUBJECTS {
            facts.insert(subject, subject_facts(&db, subject)?);
        }
        Ok(Self { rows, facts })
    }

    /// Whether there is anything to compare with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.values().all(BTreeMap::is_empty)
    }

    /// The right answer to `query`: subject and figures of each row, in order.
    #[must_use]
    pub fn answer(&self, query: &Query) -> Vec<(&'static str, Map<String, Value>)> {
        let subjects: BTreeSet<&'static str> = query.subjects.iter().copied().collect();
        let until = query.timestamp.unwrap_or(i64::MAX);
        let mut page: Vec<(&'static str, Option<f64>, Map<String, Value>)> = Vec::new();
        for subject in subjects {
            let rows = self.rows.get(subject);
            let Some((date, row)) = rows.and_then(|rows| rows.range(..=until).next_back()) else {
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "epoch seconds are far below 2^53")]
            let key = match query.field {
                "report_date" => Some(*date as f64),
                field => row.get(field).copied(),
            };
            let figures =
                query.ids.iter().filter_map(|&id| Some((id.to_owned(), json!(row.get(id)?))));
            page.push((subject, key, figures.collect()));
        }
        // A stable sort of what is sorted by subject: ties stay so.
        page.sort_by(|(_, a, _), (_, b, _)| match (a, b) {
            (Some(a), Some(b)) if query.order < 0 => b.total_cmp(a),
            (Some(a), Some(b)) => a.total_cmp(b),
            (a, b) => b.is_some().cmp(&a.is_some()).then(Ordering::Equal),
        });
        let page = page.into_iter().skip(query.offset as usize).take(query.limit as usize);
        page.map(|(subject, _, figures)| (subject, figures)).collect()
    }

    /// What an answer says of a subject, apart from its figures.
    #[must_use]
    pub fn subject(&self, subject: &str) -> Map<String, Value> {
        let mut all = self.facts.get(subject).cloned().unwrap_or_default();
        all.insert("subject".to_owned(), subject.into());
        all
    }

    /// Compares an answer's body with the right one.
    ///
    /// # Errors
    /// What differs, in words.
    pub fn check(&self, query: &Query, body: &[u8]) -> Result<(), String> {
        let answer: Value =
            serde_json::from_slice(body).map_err(|why| format!("the answer is not JSON: {why}"))?;
        if answer.get("status_code").and_then(Value::as_i64) != Some(0) {
            return Err(format!("status_code is not 0: {}", shown(&answer)));
        }
        if answer.get("status_msg").and_then(Value::as_str) != Some("success") {
            return Err(format!("status_msg is not \"success\": {}", shown(&answer)));
        }
        let rows = answer.get("data").and_then(Value::as_array);
        let rows = rows.ok_or_else(|| format!("data is no array: {}", shown(&answer)))?;
        let right = self.answer(query);
        if rows.len() != right.len() {
            return Err(format!("{} rows instead of {}", rows.len(), right.len()));
        }
        for (place, (row, (subject, figures))) in rows.iter().zip(&right).enumerate() {
            let named = row.pointer("/subject/subject").and_then(Value::as_str);
            if named != Some(subject) {
                let named = named.unwrap_or("nobody");
                return Err(format!("row {place} is of {named} instead of {subject}"));
            }
            for (name, right) in self.facts.get(subject).into_iter().flatten() {
                let given = row.pointer(&format!("/subject/{name}"));
                if given != Some(right) {
                    let given = given.map_or("missing".to_owned(), Value::to_string);
                    return Err(format!("{name} of {subject} is {given} instead of {right}"));
                }
            }
            let data = row.get("data").and_then(Value::as_object);
            let data = data.ok_or_else(|| format!("row {place} has no data"))?;
            same_figures(data, figures).map_err(|why| format!("row {place}, {subject}: {why}"))?;
        }
        Ok(())
    }
}

/// What an answer says of a subject: each fact from the newest row that has it.
fn subject_facts(db: &Connection, subject: &str) -> rusqlite::Result<Map<String, Value>> {
    let mut facts = Map::new();
    for (column, name, missing) in FACTS {
        // Columns that an old file does not have give nothing.
        let stored = db
            .prepare(&format!(
                "SELECT f.{column} FROM finance_data f \
                 WHERE f.subject_key = ?1 AND f.{column} IS NOT NULL AND f.{column} <> '' \
                 ORDER BY f.report_date DESC, f.id DESC LIMIT 1"
            ))
            .ok()
            .map(|mut statement| statement.query_row([subject], |row| row.get::<_, String>(0)));
        let value = match stored {
            Some(Ok(value)) => value,
            None | Some(Err(rusqlite::Error::QueryReturnedNoRows)) if name == "name" => {
                subject.to_owned()
            }
            None | Some(Err(rusqlite::Error::QueryReturnedNoRows)) => missing.to_owned(),
            Some(Err(why)) => return Err(why),
        };
        facts.insert(name.to_owned(), value.into());
    }
    Ok(facts)
}

fn same_figures(given: &Map<String, Value>, right: &Map<String, Value>) -> Result<(), String> {
    let names: BTreeSet<_> = given.keys().chain(right.keys()).collect();
    for name in names {
        let (a, b) =
            (given.get(name).and_then(Value::as_f64), right.get(name).and_then(Value::as_f64));
        if a != b || !given.contains_key(name) {
            let words = |data: &Map<String, Value>| {
                data.get(name).map_or("missing".to_owned(), Value::to_string)
            };
            return Err(format!("{name} is {} instead of {}", words(given), words(right)));
        }
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(rows: &[(&'static str, i64, Option<f64>)]) -> (tempfile::TempDir, Oracle) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rows.db");
        let db = Connection::open(&file).unwrap();
        let columns = INDICATORS.map(|name| format!("{name} REAL")).join(", ");
        db.execute_batch(&format!(
            "CREATE TABLE finance_data(id INTEGER PRIMARY KEY, subject_key TEXT, report_date INTEGER, {columns})"
        ))
        .unwrap();
        for (subject, date, income) in rows {
            db.execute(
                "INSERT INTO finance_data(subject_key, report_date, operating_income) VALUES(?, ?, ?)",
                (subject, date, income),
            )
            .unwrap();
        }
        let oracle = Oracle::open(&file).unwrap();
        (dir, oracle)
    }

    fn query(order: i8, timestamp: Option<i64>) -> Query {
        Query {
            ids: vec!["operating_income"],
            subjects: SUBJECTS.to_vec(),
            field: "operating_income",
            order,
            offset: 0,
            limit: 10,
            timestamp,
        }
    }

    #[test]
    fn newest_rows_sort_by_the_field_with_missing_values_last() {
        let (_dir, oracle) = oracle(&[
            (SUBJECTS[0], 10, Some(1.0)),
            (SUBJECTS[0], 20, Some(5.0)),
            (SUBJECTS[1], 10, None),
            (SUBJECTS[2], 10, Some(5.0)),
            (SUBJECTS[3], 10, Some(2.0)),
            (SUBJECTS[3], 10, Some(3.0)),
        ]);
        let order = |order, at| -> Vec<_> {
            oracle.answer(&query(order, at)).into_iter().map(|(subject, _)| subject).collect()
        };
        assert_eq!(order(-1, None), [0, 2, 3, 1].map(|i| SUBJECTS[i]));
        assert_eq!(order(1, None), [3, 0, 2, 1].map(|i| SUBJECTS[i]));
        assert_eq!(order(-1, Some(19)), [2, 3, 0, 1].map(|i| SUBJECTS[i]));
        assert_eq!(order(1, Some(9)), [""; 0]);
    }

    #[test]
    fn a_wrong_figure_order_or_name_is_found() {
        let (_dir, oracle) = oracle(&[(SUBJECTS[0], 1, Some(1.5)), (SUBJECTS[1], 1, None)]);
        let body = |a: &str, data: &str| {
            let (first, second) = (oracle.subject(a), oracle.subject(SUBJECTS[1]));
            let data: Value = serde_json::from_str(data).unwrap();
            let rows =
                [json!({"subject": first, "data": data}), json!({"subject": second, "data": {}})];
            json!({"status_code": 0, "status_msg": "success", "data": rows}).to_string()
        };
        let renamed = body(SUBJECTS[0], r#"{"operating_income":1.5}"#).replace("213001", "213002");
        assert!(oracle.check(&query(-1, None), renamed.as_bytes()).is_err());
        let check = |body: String| oracle.check(&query(-1, None), body.as_bytes());
        let other = body(SUBJECTS[0], r#"{"operating_income":1.5}"#).replace("success", "ok");
        assert!(check(other).unwrap_err().contains("status_msg"));
        let missing = check(body(SUBJECTS[0], "{}")).unwrap_err();
        assert!(missing.ends_with("operating_income is missing instead of 1.5"), "{missing}");
        assert_eq!(check(body(SUBJECTS[0], r#"{"operating_income":1.5}"#)), Ok(()));
        for (subject, data) in [
            (SUBJECTS[2], r#"{"operating_income":1.5}"#),
            (SUBJECTS[0], r#"{"operating_income":1.25}"#),
            (SUBJECTS[0], r#"{"operating_income":null}"#),
            (SUBJECTS[0], "{}"),
            (SUBJECTS[0], r#"{"operating_income":1.5,"net_profit":2}"#),
        ] {
            assert!(check(body(subject, data)).is_err(), "{subject} {data}");
        }
        assert!(oracle.check(&query(-1, None), b"{\"status_code\":0,\"data\":[]}").is_err());
        assert!(oracle.check(&query(-1, None), b"nonsense").is_err());
    }
}
