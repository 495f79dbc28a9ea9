//! One subject as a line of JSON, read.
//!
//! Files of many millions of rows are read before the node serves, so this reads the one form that
//! [`write_entry`](super::write_entry) writes, from front to back, straight into the map. JSON in
//! another form, though it means the same, is no entry.

use std::{borrow::Cow, sync::Arc};

use kamaitachi_policies::coverage::Coverage;
use serde::Deserialize;

use super::scan::Scan;
use crate::{
    cache::stock_data_map::{Draft, Facts, Frame, InvalidParts, StockDataMap},
    model::{Indicators, SubjectInfo},
};

/// The subject as answers carry it.
#[derive(Deserialize)]
struct Named<'a> {
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

/// Reads entries; made once for many, as it keeps its buffers.
#[derive(Debug)]
pub(crate) struct EntryReader<'i> {
    indicators: &'i Indicators,
    draft: Draft,
}

impl<'i> EntryReader<'i> {
    /// A reader for a store with these indicators. Others are left out of what is read.
    pub(crate) fn new(indicators: &'i Indicators) -> Self {
        Self { indicators, draft: Draft::default() }
    }

    /// Reads the lines of a section, and gives each map with the milliseconds it had left to live.
    ///
    /// # Errors
    /// At the first line that is no entry; those before it have been given.
    pub(crate) fn section(
        &mut self,
        section: &[u8],
        mut each: impl FnMut(StockDataMap, u64),
    ) -> Result<(), InvalidParts> {
        let mut scan = Scan::new(section);
        while !scan.is_empty() {
            let (map, ttl) = self.entry(&mut scan)?;
            each(map, ttl);
        }
        Ok(())
    }

    fn entry(&mut self, scan: &mut Scan<'_>) -> Result<(StockDataMap, u64), InvalidParts> {
        self.draft.clear();
        scan.take(br#"{"subject":"#)?;
        let named: Named<'_> = scan.json()?;
        scan.take(br#","exists":"#)?;
        let exists = scan.taken(b"true");
        if !exists {
            scan.take(b"false")?;
        }
        scan.take(br#","revision":"#)?;
        let revision = scan.unsigned()?;
        scan.take(br#","ttl_ms":"#)?;
        let ttl = scan.unsigned()?;
        scan.take(br#","known":"#)?;
        let known = ranges(scan)?;
        scan.take(br#","rows":"#)?;
        let rows = self.rows(scan)?;
        scan.take(br#","columns":"#)?;
        scan.list(|scan| self.column(scan, rows))?;
        scan.take(b"}\n")?;
        let subject: Arc<str> = (*named.subject).into();
        if !exists {
            return Ok((StockDataMap::unknown(subject, revision), ttl));
        }
        let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(Arc::from);
        let info = SubjectInfo {
            name: own(&named.name),
            status: own(&named.status),
            listing_date: own(&named.listing_date),
            category: own(&named.category),
        };
        Ok((self.draft.map(Frame { subject, info: &info, revision, known })?, ttl))
    }

    fn rows(&mut self, scan: &mut Scan<'_>) -> Result<usize, InvalidParts> {
        let mut rows = 0;
        scan.list(|scan| {
            rows += 1;
            scan.take(b"[")?;
            let date = scan.signed()?;
            scan.take(b",")?;
            let end_date = inside(scan.string()?);
            scan.take(b",")?;
            let period = inside(scan.string()?);
            scan.take(b",")?;
            let declare_date = if scan.taken(b"null") { b"null" } else { scan.string()? };
            scan.take(b",")?;
            let year = inside(scan.string()?);
            scan.take(b"]")?;
            self.draft.row(date, Facts { end_date, period, declare_date, year })
        })?;
        Ok(rows)
    }

    fn column(&mut self, scan: &mut Scan<'_>, rows: usize) -> Result<(), InvalidParts> {
        scan.take(br#"{"indicator":"#)?;
        let name: Cow<'_, str> = scan.json()?;
        let id = self.indicators.id(&name);
        scan.take(br#","known":"#)?;
        let known = ranges(scan)?;
        scan.take(br#","values":"#)?;
        if let Some(id) = id {
            self.draft.column(id, known);
        }
        let mut values = 0;
        scan.list(|scan| {
            values += 1;
            let value = if scan.taken(b"null") { f64::NAN } else { scan.number()? };
            if id.is_some() {
                self.draft.value(value);
            }
            Ok(())
        })?;
        if values != rows {
            return Err(InvalidParts::Columns);
        }
        scan.take(b"}")
    }
}

fn ranges(scan: &mut Scan<'_>) -> Result<Coverage, InvalidParts> {
    let mut coverage = Coverage::new();
    scan.list(|scan| {
        scan.take(b"[")?;
        let from = scan.signed()?;
        scan.take(b",")?;
        coverage.insert(from, scan.signed()?);
        scan.take(b"]")
    })?;
    Ok(coverage)
}

/// A string without its quotes.
fn inside(quoted: &[u8]) -> &[u8] {
    quoted.get(1..quoted.len() - 1).unwrap_or_default()
}
