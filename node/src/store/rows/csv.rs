//! Rows as records of CSV, one a line.

use std::{fmt, io::BufRead};

use csv_core::ReadRecordResult;

use super::{
    BadRows, RowBatch, RowFacts, RowWrite,
    check::{self, TEXTS, shown},
};
use crate::{model::IndicatorId, store::intern::Interner};

#[derive(Debug)]
pub(super) struct CsvRows<R> {
    text: R,
    line: u64,
    buffer: Vec<u8>,
    record: Record,
    /// Empty until the header was read.
    columns: Vec<Column>,
    texts: Interner,
}

/// The cells of one line.
#[derive(Debug)]
struct Record {
    parser: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    cells: usize,
}

impl Record {
    /// Splits a line and undoes quotes.
    fn split(&mut self, line: &[u8]) -> Result<(), &'static str> {
        // Together the cells are no longer than the line and its end, and there is at most one
        // more of them than bytes.
        self.text.resize(self.text.len().max(line.len() + 1), 0);
        self.ends.resize(self.ends.len().max(line.len() + 1), 0);
        self.parser.reset();
        let (_, _, text, cells) = self.parser.read_record(line, &mut self.text, &mut self.ends);
        let (text, ends) = (&mut self.text[text..], &mut self.ends[cells..]);
        let (result, _, _, last) = self.parser.read_record(b"\n", text, ends);
        self.cells = cells + last;
        match result {
            ReadRecordResult::Record => Ok(()),
            _ => Err("expected a quoted cell to end in its line"),
        }
    }

    fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).take(self.cells).map(|(start, end)| &self.text[start..*end])
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Subject,
    ReportDate,
    /// A place in [`TEXTS`].
    Text(usize),
    Indicator(String),
}

impl<R: BufRead> CsvRows<R> {
    pub(super) fn new(text: R) -> Self {
        let parser = csv_core::Reader::new();
        Self {
            text,
            line: 0,
            buffer: Vec::new(),
            record: Record { parser, text: Vec::new(), ends: Vec::new(), cells: 0 },
            columns: Vec::new(),
            texts: Interner::default(),
        }
    }

    pub(super) fn fill(&mut self, batch: &mut RowBatch, most: usize) -> Result<(), BadRows> {
        if self.columns.is_empty() {
            if !self.next()? {
                return Err(BadRows::line(1, "expected a header with subject and report_date"));
            }
            self.columns = header(&self.record).map_err(|reason| self.bad(reason))?;
        }
        let ids = self.columns.iter().filter_map(|column| match column {
            Column::Indicator(name) => Some(batch.indicator(name, 1)),
            _ => None,
        });
        let ids: Option<Vec<IndicatorId>> = ids.collect();
        let ids = ids.ok_or_else(|| self.bad("more indicators than a store can hold"))?;
        while batch.len() < most && self.next()? {
            let row = row(&self.columns, &ids, &self.record, &mut self.texts);
            batch.push(row.map_err(|reason| self.bad(reason))?);
        }
        Ok(())
    }

    /// Splits the next line that is not blank.
    fn next(&mut self) -> Result<bool, BadRows> {
        loop {
            self.buffer.clear();
            if self.text.read_until(b'\n', &mut self.buffer)? == 0 {
                return Ok(false);
            }
            self.line += 1;
            let line = self.buffer.trim_ascii();
            if !line.is_empty() {
                return self.record.split(line).map(|()| true).map_err(|reason| self.bad(reason));
            }
        }
    }

    fn bad(&self, reason: impl Into<String>) -> BadRows {
        BadRows::line(self.line, reason)
    }
}

fn header(record: &Record) -> Result<Vec<Column>, String> {
    let mut columns = Vec::with_capacity(record.cells);
    for (n, name) in record.cells().enumerate() {
        let name = std::str::from_utf8(name).map_err(|_| "the header is not UTF-8".to_owned())?;
        // Spreadsheets start their files with a byte order mark.
        let name = if n == 0 { name.trim_start_matches('\u{feff}') } else { name }.trim();
        let column = match name {
            "" => return Err(format!("column {}: expected a name", n + 1)),
            "subject" => Column::Subject,
            "report_date" => Column::ReportDate,
            name => match TEXTS.iter().position(|text| *text == name) {
                Some(n) => Column::Text(n),
                None => Column::Indicator(name.to_owned()),
            },
        };
        if columns.contains(&column) {
            return Err(format!("column {}: named twice", shown(name)));
        }
        columns.push(column);
    }
    for (needed, name) in [(Column::Subject, "subject"), (Column::ReportDate, "report_date")] {
        if !columns.contains(&needed) {
            return Err(format!("expected a column {name} in the header"));
        }
    }
    Ok(columns)
}

fn row(
    columns: &[Column],
    ids: &[IndicatorId],
    record: &Record,
    texts: &mut Interner,
) -> Result<RowWrite, String> {
    if record.cells != columns.len() {
        let (expected, got) = (columns.len(), record.cells);
        return Err(format!("expected {expected} cells as in the header, got {got}"));
    }
    let (mut subject, mut report_date, mut facts) = ("".into(), 0, RowFacts::default());
    let mut values = Vec::with_capacity(ids.len());
    for (column, cell) in columns.iter().zip(record.cells()) {
        let cell = std::str::from_utf8(cell).map_err(|_| format!("{column}: not UTF-8"))?.trim();
        match column {
            Column::Subject => subject = check::subject(cell, texts)?,
            Column::ReportDate => {
                let at = cell.parse().map_err(|_| {
                    let cell = shown(cell);
                    format!("report_date: expected epoch seconds, a whole number, got {cell}")
                })?;
                report_date = check::report_date(at)?;
            }
            Column::Text(n) => *facts.text_mut(*n) = check::text(TEXTS[*n], cell, texts)?,
            Column::Indicator(name) => values.push((ids[values.len()], number(name, cell)?)),
        }
    }
    let facts = (facts != RowFacts::default()).then(|| Box::new(facts));
    Ok(RowWrite { subject, report_date, facts, values: values.into() })
}

fn number(name: &str, cell: &str) -> Result<Option<f64>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(Some(x)),
        _ => Err(format!("{name}: expected a number or an empty cell, got {}", shown(cell))),
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::ReportDate => "report_date",
            Self::Text(n) => TEXTS[*n],
            Self::Indicator(name) => name,
        })
    }
}
