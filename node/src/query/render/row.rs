//! One row as JSON.

use smallvec::SmallVec;

use super::Labels;
use crate::{cache::stock_data_map::StockDataMap, model::IndicatorId};

/// The longest number: sign, 17 digits, point, exponent.
const NUMBER: usize = 24;

/// What is written around a row's facts.
const FACTS: usize =
    r#"{"end_date":"","period":"","declare_date":,"year":"","combine":":_"},"#.len();

/// The columns of one subject that are answered, with their labels.
pub(super) struct Columns<'a> {
    map: &'a StockDataMap,
    columns: SmallVec<[(&'a [u8], &'a [f64]); 8]>,
}

/// The most that the values of a row take.
pub(super) fn values_size(indicators: &[IndicatorId], labels: &Labels) -> usize {
    indicators.iter().map(|id| labels.get(*id).len() + NUMBER + 1).sum()
}

/// What a row takes without its values, by the looks of the newest.
pub(super) fn facts_size(map: &StockDataMap) -> usize {
    let Some(newest) = map.len().checked_sub(1) else { return 0 };
    let facts = map.facts(newest);
    let twice = 2 * (facts.period.len() + facts.year.len());
    FACTS + facts.end_date.len() + facts.declare_date.len() + twice + map.subject_json().len()
}

impl<'a> Columns<'a> {
    pub(super) fn new(
        map: &'a StockDataMap,
        indicators: &[IndicatorId],
        labels: &'a Labels,
    ) -> Self {
        // An indicator without a column has no values here: it was known that there are no rows.
        let column = |id: &IndicatorId| (labels.get(*id), map.column(*id).unwrap_or_default());
        Self { map, columns: indicators.iter().map(column).collect() }
    }

    /// The values there are, as an object.
    pub(super) fn write_known(&self, out: &mut Vec<u8>, row: usize) {
        out.push(b'{');
        for (label, values) in &self.columns {
            if let Some(value) = value(values, row) {
                out.extend_from_slice(label);
                write_number(out, value);
                out.push(b',');
            }
        }
        if out.last() == Some(&b',') {
            out.pop();
        }
        out.push(b'}');
    }

    /// The row's facts and all values, null for those that are missing, as an object.
    pub(super) fn write_row(&self, out: &mut Vec<u8>, row: usize) {
        let facts = self.map.facts(row);
        out.extend_from_slice(br#"{"end_date":""#);
        out.extend_from_slice(facts.end_date);
        out.extend_from_slice(br#"","period":""#);
        out.extend_from_slice(facts.period);
        out.extend_from_slice(br#"","declare_date":"#);
        out.extend_from_slice(facts.declare_date);
        out.extend_from_slice(br#","year":""#);
        out.extend_from_slice(facts.year);
        out.extend_from_slice(br#"","combine":""#);
        out.extend_from_slice(self.map.subject_json());
        out.push(b':');
        out.extend_from_slice(facts.year);
        out.push(b'_');
        out.extend_from_slice(facts.period);
        out.push(b'"');
        for (label, values) in &self.columns {
            out.push(b',');
            out.extend_from_slice(label);
            match value(values, row) {
                Some(value) => write_number(out, value),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }
}

fn value(values: &[f64], row: usize) -> Option<f64> {
    values.get(row).copied().filter(|value| !value.is_nan())
}

/// The shortest digits that read back as the same number.
pub(super) fn write_number(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}
