//! One subject as a line of JSON, written.

use kamaitachi_policies::coverage::Coverage;

use crate::{
    cache::stock_data_map::{Facts, StockDataMap, escape},
    model::{Epoch, Indicators},
};

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
