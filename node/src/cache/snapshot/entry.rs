//! One subject as a line of JSON.

use std::{borrow::Cow, sync::Arc};

use kamaitachi_policies::coverage::Coverage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    cache::stock_data_map::{Facts, InvalidParts, Parts, RawFacts, StockDataMap, escape},
    model::{Epoch, Indicators, SubjectInfo},
};

/// A line as it is read. Facts stay the JSON they are: answers are made of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    subject: Subject<'a>,
    exists: bool,
    revision: u64,
    ttl_ms: u64,
    known: Vec<(Epoch, Epoch)>,
    #[serde(borrow)]
    rows: Vec<Row<'a>>,
    #[serde(borrow)]
    columns: Vec<Column<'a>>,
}

type Row<'a> = (Epoch, &'a RawValue, &'a RawValue, &'a RawValue, &'a RawValue);

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    listing_date: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    category: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column<'a> {
    #[serde(borrow)]
    indicator: Cow<'a, str>,
    known: Vec<(Epoch, Epoch)>,
    values: Vec<Option<f64>>,
}

/// Appends a map with the milliseconds it has left to live.
pub(crate) fn write_entry(
    out: &mut Vec<u8>,
    map: &StockDataMap,
    ttl_ms: u64,
    indicators: &Indicators,
) {
    out.extend_from_slice(br#"{"subject":"#);
    write_subject(out, map);
    out.extend_from_slice(br#","exists":"#);
    out.extend_from_slice(if map.exists() { b"true" } else { b"false" });
    out.extend_from_slice(br#","revision":"#);
    write_integer(out, map.revision());
    out.extend_from_slice(br#","ttl_ms":"#);
    write_integer(out, ttl_ms);
    out.extend_from_slice(br#","known":"#);
    write_ranges(out, map.known_rows());
    out.extend_from_slice(br#","rows":["#);
    for row in 0..map.len() {
        if row > 0 {
            out.push(b',');
        }
        write_row(out, map.report_date(row), map.facts(row));
    }
    out.extend_from_slice(br#"],"columns":["#);
    let mut comma: &[u8] = b"";
    for id in map.indicators() {
        let (Some(name), Some(values)) = (indicators.name(id), map.column(id)) else { continue };
        out.extend_from_slice(comma);
        out.extend_from_slice(br#"{"indicator":""#);
        escape(out, name);
        out.extend_from_slice(br#"","known":"#);
        write_ranges(out, map.known(id));
        out.extend_from_slice(br#","values":"#);
        write_values(out, values);
        out.push(b'}');
        comma = b",";
    }
    out.extend_from_slice(b"]}");
}

/// A map read from a line, and the milliseconds it had left to live. Indicators that are no more
/// are left out.
pub(crate) fn read_entry(
    line: &[u8],
    indicators: &Indicators,
) -> Result<(StockDataMap, u64), InvalidParts> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|_| InvalidParts::NotAnEntry)?;
    let subject: Arc<str> = (*line.subject.subject).into();
    if !line.exists {
        return Ok((StockDataMap::unknown(subject, line.revision), line.ttl_ms));
    }
    let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(Arc::from);
    let info = SubjectInfo {
        name: own(&line.subject.name),
        status: own(&line.subject.status),
        listing_date: own(&line.subject.listing_date),
        category: own(&line.subject.category),
    };
    let rows = line.rows.iter().map(|(date, end_date, period, declare_date, year)| {
        let facts = RawFacts {
            end_date: end_date.get(),
            period: period.get(),
            declare_date: declare_date.get(),
            year: year.get(),
        };
        (*date, facts)
    });
    let columns = line.columns.iter().filter_map(|column| {
        let id = indicators.id(&column.indicator)?;
        let values = column.values.iter().map(|value| value.unwrap_or(f64::NAN));
        Some((id, coverage(&column.known), values.collect()))
    });
    let parts = Parts {
        subject,
        info,
        revision: line.revision,
        known: coverage(&line.known),
        rows: rows.collect(),
        columns: columns.collect(),
    };
    Ok((StockDataMap::from_parts(parts)?, line.ttl_ms))
}

fn coverage(ranges: &[(Epoch, Epoch)]) -> Coverage {
    let mut coverage = Coverage::new();
    for (from, to) in ranges {
        coverage.insert(*from, *to);
    }
    coverage
}

/// The subject as answers carry it, or its bare name where it does not exist.
fn write_subject(out: &mut Vec<u8>, map: &StockDataMap) {
    let head = map.head().strip_prefix(br#"{"subject":"#);
    match head.and_then(|head| head.strip_suffix(br#","data":"#)) {
        Some(object) => out.extend_from_slice(object),
        None => {
            out.extend_from_slice(br#"{"subject":""#);
            escape(out, map.subject());
            out.extend_from_slice(b"\"}");
        }
    }
}

fn write_integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_ranges(out: &mut Vec<u8>, known: &Coverage) {
    out.push(b'[');
    for (at, interval) in known.intervals().iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
        write_integer(out, interval.from());
        out.push(b',');
        write_integer(out, interval.to());
        out.push(b']');
    }
    out.push(b']');
}

fn write_row(out: &mut Vec<u8>, report_date: Epoch, facts: Facts<'_>) {
    out.push(b'[');
    write_integer(out, report_date);
    for text in [facts.end_date, facts.period] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(text);
        out.push(b'"');
    }
    out.push(b',');
    out.extend_from_slice(facts.declare_date);
    out.extend_from_slice(b",\"");
    out.extend_from_slice(facts.year);
    out.extend_from_slice(b"\"]");
}

fn write_values(out: &mut Vec<u8>, values: &[f64]) {
    out.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if value.is_nan() {
            out.extend_from_slice(b"null");
        } else {
            out.extend_from_slice(ryu::Buffer::new().format_finite(*value).as_bytes());
        }
    }
    out.push(b']');
}
