//! Requests of data management: records of series in three tables.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::value::RawValue;

use super::{
    failure::Failure,
    fields::{each_name, refuse, text},
    json::{self, Given, Quoted},
    params,
    request::{Rules, check_limit, check_offset, moment},
};
use crate::{
    model::Epoch,
    store::{DataPage, DataSave, DataSearch, DataTable, Points, SaveMode},
};

const TABLES: &str = "1 (stock_data), 2 (financial_data) or 3 (indicator_data)";

/// The table a query parameter names.
///
/// # Errors
/// If there is none, or no such table.
pub fn table(query: Option<&str>, parameter: &str) -> Result<DataTable, Failure> {
    let given = params::parameter(query, parameter)?.filter(|given| !given.is_empty());
    let Some(given) = given else {
        return Err(Failure::bad(format!(
            "query parameter `{parameter}` is required: expected {TABLES}"
        )));
    };
    given.parse().ok().and_then(DataTable::from_number).ok_or_else(|| {
        Failure::bad(format!(
            "query parameter `{parameter}`: unknown table \"{}\", expected {TABLES}",
            Quoted(&given)
        ))
    })
}

/// A save: its query string and its body.
///
/// # Errors
/// [`Failure::BadRequest`] for the first rule it breaks.
pub fn save(
    query: Option<&str>,
    body: &[u8],
    rules: &Rules,
    now: Epoch,
) -> Result<DataSave, Failure> {
    let table = table(query, "id")?;
    let mode = match params::parameter(query, "mode")?.as_deref() {
        None | Some("" | "merge") => SaveMode::Merge,
        Some("replace") => SaveMode::Replace,
        Some(other) => {
            return Err(Failure::bad(format!(
                "query parameter `mode`: got \"{}\", expected merge or replace",
                Quoted(other)
            )));
        }
    };
    let [id, data, created] =
        json::read_object(body, &["id", "data", "createTime"], rules.max_depth)?;
    let id = text("id", id, rules.max_name)?;
    let id = id.ok_or_else(|| Failure::bad("field `id` is required: expected a string"))?;
    Ok(DataSave {
        table,
        id: id.into_owned(),
        points: points(&data)?,
        create_time: create_time(created)?,
        now,
        mode,
    })
}

fn points(data: &Given<'_>) -> Result<Points, Failure> {
    const EXPECTED: &str = "an object of arrays by epoch second, not empty";
    let members = match data {
        Given::Map(members) if !members.is_empty() => members,
        Given::Map(_) => {
            return Err(Failure::bad(format!("field `data` is empty: expected {EXPECTED}")));
        }
        other => return Err(refuse("data", other, EXPECTED)),
    };
    members.iter().map(|(key, values)| Ok((timestamp(key)?, series(key, values)?))).collect()
}

/// Only the one way to write an integer, so that no two keys are the same second.
fn timestamp(key: &str) -> Result<Epoch, Failure> {
    let parsed = key.parse::<Epoch>().ok().filter(|epoch| epoch.to_string() == key);
    parsed.ok_or_else(|| {
        Failure::bad(format!(
            "field `data`: timestamp \"{}\", expected epoch seconds as an integer",
            Quoted(key)
        ))
    })
}

fn series(key: &str, values: &Given<'_>) -> Result<Box<RawValue>, Failure> {
    if !matches!(values, Given::List(_)) {
        return Err(Failure::bad(format!(
            "field `data`, timestamp \"{key}\": got {values}, expected an array"
        )));
    }
    serde_json::value::to_raw_value(values).map_err(|error| {
        tracing::error!(%error, "a JSON value could not be written again");
        Failure::Internal
    })
}

fn create_time(given: Given<'_>) -> Result<Option<String>, Failure> {
    let Some(time) = text("createTime", given, usize::MAX)? else { return Ok(None) };
    if is_date_time(&time) {
        return Ok(Some(time.into_owned()));
    }
    Err(Failure::bad(format!(
        "field `createTime`: got \"{}\", expected YYYY-MM-DD hh:mm:ss, a day of the calendar",
        Quoted(&time)
    )))
}

fn is_date_time(text: &str) -> bool {
    const SHAPE: &[u8; 19] = b"0000-00-00 00:00:00";
    let shaped = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            mark => byte == *mark,
        });
    if !shaped {
        return false;
    }
    let parts = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19];
    // Digits alone, so each is a number.
    let [year, month, day, hour, minute, second] =
        parts.map(|at| text.get(at).and_then(|part| part.parse::<u32>().ok()).unwrap_or(u32::MAX));
    (1..=days_of(year, month)).contains(&day) && hour < 24 && minute < 60 && second < 60
}

/// The days of a month of the Gregorian calendar; none where there is no such month.
fn days_of(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// The body of a search.
///
/// # Errors
/// [`Failure::BadRequest`] for the first rule it breaks.
pub fn search(body: &[u8], rules: &Rules) -> Result<DataSearch, Failure> {
    const FIELDS: [&str; 6] = ["tableId", "subjectIds", "startTime", "endTime", "limit", "offset"];
    let [table, subjects, start, end, limit, offset] =
        json::read_object(body, &FIELDS, rules.max_depth)?;
    let number = match &table {
        Given::Integer(number) => Some(*number),
        Given::Text(text) => text.parse().ok(),
        _ => None,
    };
    let table =
        number.and_then(DataTable::from_number).ok_or_else(|| refuse("tableId", &table, TABLES))?;
    let mut ids = Vec::new();
    each_name("subjectIds", &subjects, rules.max_name, |name| {
        ids.push(name.to_owned());
        Ok(())
    })?;
    if ids.len() > rules.max_subjects {
        let max = rules.max_subjects;
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > max {
            return Err(Failure::bad(format!(
                "field `subjectIds`: got more than {max} ids, expected at most {max}"
            )));
        }
    }
    let bound = |field, given| Ok(moment(field, given)?.filter(|at| *at != 0));
    let start: Option<Epoch> = bound("startTime", &start)?;
    let end: Option<Epoch> = bound("endTime", &end)?;
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(Failure::bad(format!(
            "field `startTime`: got {start}, expected at most `endTime`, which is {end}"
        )));
    }
    Ok(DataSearch {
        table,
        ids,
        start: start.unwrap_or(Epoch::MIN),
        end: end.unwrap_or(Epoch::MAX),
        limit: check_limit(&limit, rules)?,
        offset: check_offset(&offset)?,
    })
}

/// The page that was asked for, where a search is a part of a larger one and its answer starts at the first row.
#[derive(Clone, Copy, Debug)]
pub struct PartPage {
    /// Rows to leave out first, of those of all parts.
    pub offset: usize,
    /// Rows to answer at the most.
    pub limit: usize,
}

/// What it takes to merge the answer with those to the other parts.
#[derive(Debug, Serialize)]
pub struct AboutPart<'a> {
    offset: usize,
    limit: usize,
    /// The ids of the rows.
    subjects: Vec<&'a str>,
}

impl PartPage {
    /// What stands beside the rows of `found`.
    #[must_use]
    pub fn about(self, found: &DataPage) -> AboutPart<'_> {
        let subjects = found.rows.iter().map(|row| &*row.id).collect();
        AboutPart { offset: self.offset, limit: self.limit, subjects }
    }
}

/// Names of indicators to register, each once.
///
/// # Errors
/// [`Failure::BadRequest`] if the body names none.
pub fn register(body: &[u8], rules: &Rules) -> Result<Vec<String>, Failure> {
    let [indicators] = json::read_object(body, &["indicators"], rules.max_depth)?;
    let mut names = Vec::new();
    let mut seen = HashSet::new();
    each_name("indicators", &indicators, rules.max_name, |name| {
        if seen.insert(name.to_owned()) {
            names.push(name.to_owned());
        }
        Ok(())
    })?;
    if names.is_empty() {
        return Err(Failure::bad("field `indicators` is required: expected at least one name"));
    }
    Ok(names)
}

/// Written as it was read.
impl Serialize for Given<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent | Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Integer(value) => to.serialize_i64(*value),
            Self::Number(value) => to.serialize_f64(*value),
            Self::Text(text) => to.serialize_str(text),
            Self::List(items) => {
                let mut seq = to.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Self::Map(members) => {
                let mut map = to.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

/// Which record was asked for, as messages name it.
#[derive(Debug)]
pub struct Record<'a>(pub DataTable, pub Cow<'a, str>);

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record \"{}\" in table {} ({})", Quoted(&self.1), self.0.number(), self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(query: &str, body: &str) -> Result<DataSave, String> {
        save(Some(query), body.as_bytes(), &Rules::default(), 77).map_err(|error| error.to_string())
    }

    fn refused<T: fmt::Debug>(result: Result<T, String>, words: &[&str]) {
        let error = result.unwrap_err();
        for word in words {
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
    }

    #[test]
    fn a_save_keeps_every_value_as_it_was_written() {
        let body = r#"{"id":" 000001 ","data":{"-5":[],"1672502400":[100.5,-2,"x\n",null,true,{"k":[1]}]},
            "createTime":"2024-01-01 00:00:00","updateTime":"ignored"}"#;
        let save = saved("id=2&mode=replace", body).unwrap();
        assert_eq!(
            (save.table, save.mode, save.now),
            (DataTable::Financial, SaveMode::Replace, 77)
        );
        assert_eq!(save.id, "000001");
        assert_eq!(save.create_time.as_deref(), Some("2024-01-01 00:00:00"));
        let points: Vec<_> = save.points.iter().map(|(at, raw)| (*at, raw.get())).collect();
        assert_eq!(
            points,
            [(-5, "[]"), (1_672_502_400, r#"[100.5,-2,"x\n",null,true,{"k":[1]}]"#)]
        );
    }

    #[test]
    fn a_save_without_a_rule_kept_is_refused_by_name() {
        let good = r#"{"id":"a","data":{"1":[1]}}"#;
        assert!(saved("id=1", good).is_ok());
        refused(saved("", good), &["`id`", "required", "1 (stock_data)"]);
        for table in ["id=0", "id=4", "id=x", "id=1.0", "id=stock"] {
            refused(saved(table, good), &["`id`", "unknown table"]);
        }
        refused(saved("id=1&mode=append", good), &["`mode`", "\"append\"", "merge or replace"]);
        for body in ["{}", r#"{"data":{"1":[1]}}"#, r#"{"id":" ","data":{"1":[1]}}"#] {
            refused(saved("id=1", body), &["`id`", "required"]);
        }
        refused(saved("id=1", r#"{"id":7,"data":{"1":[1]}}"#), &["`id`", "got 7"]);
        refused(saved("id=1", r#"{"id":"a"}"#), &["`data`", "required"]);
        refused(saved("id=1", r#"{"id":"a","data":{}}"#), &["`data`", "empty"]);
        refused(saved("id=1", r#"{"id":"a","data":[1]}"#), &["`data`", "an array"]);
        for key in ["x", "", "1.5", "01", "+1", " 1", "99999999999999999999", "-0"] {
            let body = format!(r#"{{"id":"a","data":{{"{key}":[1]}}}}"#);
            refused(saved("id=1", &body), &["`data`", "timestamp", "integer"]);
        }
        for value in ["1", "null", "{}", r#""x""#] {
            let body = format!(r#"{{"id":"a","data":{{"1":{value}}}}}"#);
            refused(saved("id=1", &body), &["`data`", "\"1\"", "expected an array"]);
        }
        for time in
            ["2024-01-01", "2024-13-01 00:00:00", "2024-01-01T00:00:00", "2024-01-01 24:00:00"]
        {
            let body = format!(r#"{{"id":"a","data":{{"1":[1]}},"createTime":"{time}"}}"#);
            refused(saved("id=1", &body), &["`createTime`", "YYYY-MM-DD hh:mm:ss"]);
        }
    }

    #[test]
    fn a_record_is_created_on_a_day_of_the_calendar() {
        let created = |day: &str| {
            let body = format!(r#"{{"id":"a","data":{{"1":[1]}},"createTime":"{day} 00:00:00"}}"#);
            saved("id=1", &body).map(|save| save.create_time)
        };
        for day in ["2024-01-31", "2024-02-29", "2000-02-29", "2023-02-28", "2024-04-30"] {
            assert_eq!(created(day).unwrap(), Some(format!("{day} 00:00:00")));
        }
        for day in ["2024-02-30", "2024-02-31", "2023-02-29", "1900-02-29", "2024-04-31"] {
            refused(created(day), &["`createTime`", day, "YYYY-MM-DD hh:mm:ss"]);
        }
        for day in ["2024-06-31", "2024-09-31", "2024-11-31", "2024-12-32", "2024-01-00"] {
            refused(created(day), &["`createTime`", day]);
        }
    }

    #[test]
    fn a_search_has_open_ends_unless_told() {
        let ask = |body: &str| {
            search(body.as_bytes(), &Rules::default()).map_err(|error| error.to_string())
        };
        let open = ask(r#"{"tableId":1}"#).unwrap();
        assert_eq!((open.start, open.end), (Epoch::MIN, Epoch::MAX));
        assert_eq!((open.limit, open.offset, open.ids.len()), (10, 0, 0));
        let closed = ask(r#"{"tableId":"3","subjectIds":["b","a"],"startTime":5,"endTime":6,
            "limit":2,"offset":1}"#);
        let closed = closed.unwrap();
        assert_eq!((closed.start, closed.end, closed.limit, closed.offset), (5, 6, 2, 1));
        assert_eq!(
            (closed.table, closed.ids),
            (DataTable::Indicator, vec!["b".into(), "a".into()])
        );
        refused(ask("{}"), &["`tableId`", "required"]);
        refused(ask(r#"{"tableId":9}"#), &["`tableId`", "got 9", "1 (stock_data)"]);
        refused(ask(r#"{"tableId":1,"startTime":7,"endTime":6}"#), &["`startTime`", "which is 6"]);
        refused(ask(r#"{"tableId":1,"endTime":"6"}"#), &["`endTime`", "got \"6\""]);
        refused(ask(r#"{"tableId":1,"limit":-1}"#), &["`limit`"]);
    }

    #[test]
    fn indicators_are_registered_by_list_or_string() {
        let ask = |body: &str| {
            register(body.as_bytes(), &Rules::default()).map_err(|error| error.to_string())
        };
        assert_eq!(ask(r#"{"indicators":"a, b"}"#).unwrap(), ["a", "b"]);
        assert_eq!(ask(r#"{"indicators":["a"]}"#).unwrap(), ["a"]);
        assert_eq!(ask(r#"{"indicators":"b,a, b,a,c"}"#).unwrap(), ["b", "a", "c"]);
        refused(ask(r#"{"indicators":[]}"#), &["`indicators`", "required"]);
        refused(ask("{}"), &["`indicators`", "required"]);
    }
}
