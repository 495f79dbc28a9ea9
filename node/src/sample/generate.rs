//! Making the sample.

use std::ops::Range;

use super::{
    SampleError, SampleOptions, SampleSummary,
    figures::Company,
    file::{Common, Inserts, Row, SampleFile},
    rng::Rng,
    subjects::{self, ALWAYS, Subject},
};
use crate::{model::Epoch, store::dates::Day};

/// Makes a sample database and tells what it holds. Blocks until it is done.
///
/// The file appears whole or not at all: it is written beside its place and renamed. `progress`
/// hears after each subject how many rows are written, and of how many.
///
/// # Errors
/// If an option cannot be met, there is a file already, or it cannot be written.
pub fn generate(
    options: &SampleOptions,
    progress: impl FnMut(u64, u64),
) -> Result<SampleSummary, SampleError> {
    let plan = Plan::new(options)?;
    let file = SampleFile::create(&options.db, options.overwrite)?;
    let tags = file
        .inserts()
        .and_then(|mut inserts| Ok(plan.fill(&mut inserts, progress)?))
        .map_err(|reason| SampleError::Database { path: options.db.clone(), reason })?;
    let bytes = file.finish()?;
    Ok(SampleSummary {
        rows: plan.rows,
        stocks: plan.stocks,
        tags,
        first: quarter_end(plan.quarters(0).start),
        last: quarter_end(plan.end - 1),
        bytes,
    })
}

/// Which rows there will be. Quarters are counted from the year 0.
struct Plan {
    seed: u64,
    stocks: u32,
    rows: u64,
    end: i64,
}

impl Plan {
    fn new(options: &SampleOptions) -> Result<Self, SampleError> {
        let SampleOptions { stocks, from_year, to_year, rows, seed, .. } = *options;
        let wrong = |text: String| Err(SampleError::Option(text));
        let least = u32::try_from(ALWAYS.len()).unwrap_or(0);
        if !(least..=subjects::MOST).contains(&stocks) {
            return wrong(format!("stocks: expected {least} to {}, got {stocks}", subjects::MOST));
        }
        if !(1..=9_999).contains(&from_year) || !(from_year..=9_999).contains(&to_year) {
            return wrong(format!(
                "years: expected 1 to 9999, the first not after the last, got {from_year} to {to_year}"
            ));
        }
        let years = to_year.abs_diff(from_year) + 1;
        let plan = Self {
            seed,
            stocks,
            rows: rows.unwrap_or(u64::from(stocks) * years * 4),
            end: (to_year + 1) * 4,
        };
        let most = u64::from(stocks) * to_year.unsigned_abs() * 4;
        if !(u64::from(least)..=most).contains(&plan.rows) {
            let rows = plan.rows;
            return wrong(format!(
                "rows: expected {least} to {most}, a row for each quarter of each stock since the \
                 year 1, got {rows}"
            ));
        }
        Ok(plan)
    }

    /// The quarters of the `n`th subject.
    fn quarters(&self, n: u32) -> Range<i64> {
        let stocks = u64::from(self.stocks);
        let rows = self.rows / stocks + u64::from(u64::from(n) < self.rows % stocks);
        self.end.saturating_sub_unsigned(rows)..self.end
    }

    /// Writes all rows and tags; gives the number of tags.
    fn fill(
        &self,
        inserts: &mut Inserts<'_>,
        mut progress: impl FnMut(u64, u64),
    ) -> rusqlite::Result<u64> {
        let calendar = Calendar::new(self.quarters(0));
        let (mut rows, mut tags) = (0, 0);
        for n in 0..self.stocks {
            let quarters = self.quarters(n);
            if quarters.is_empty() {
                break;
            }
            rows += quarters.end.abs_diff(quarters.start);
            tags += self.subject(inserts, &calendar, n, quarters)?;
            progress(rows, self.rows);
        }
        Ok(tags)
    }

    /// Writes one subject; gives the number of its tags.
    fn subject(
        &self,
        inserts: &mut Inserts<'_>,
        calendar: &Calendar,
        n: u32,
        quarters: Range<i64>,
    ) -> rusqlite::Result<u64> {
        let code = subjects::code(n);
        let mut rng = Rng::of(self.seed, [u64::from(n), 0]);
        let (subject, company) = (Subject::new(&mut rng), Company::new(&mut rng));
        let listing_date = Day::of(subject.listed * 86_400).to_string();
        let common = Common { code: &code, subject: &subject, listing_date: &listing_date };
        let (first, last) = (quarters.start.div_euclid(4), (quarters.end - 1).div_euclid(4));
        for year in first..=last {
            // A year's figures do not depend on which other years there are.
            let mut rng = Rng::of(self.seed, [u64::from(n), year.unsigned_abs()]);
            for (figures, quarter) in company.year(&mut rng, year).into_iter().zip(year * 4..) {
                let declared = rng.between(15, 90);
                if quarters.contains(&quarter)
                    && let Some(texts) = calendar.of(quarter)
                {
                    let declare_date = Day::of(texts.report_date + declared * 86_400).to_string();
                    inserts.row(&common, &Row { texts, declare_date: &declare_date, figures })?;
                }
            }
        }
        for (id, keyword) in &subject.tags {
            inserts.tag(&code, id, keyword)?;
        }
        Ok(subject.tags.len() as u64)
    }
}

fn quarter_end(quarter: i64) -> Epoch {
    Day::quarter_end(quarter.div_euclid(4), quarter.rem_euclid(4) + 1)
}

/// The texts of all quarters, written once.
struct Calendar {
    first: i64,
    quarters: Vec<Quarter>,
}

pub(super) struct Quarter {
    pub(super) report_date: Epoch,
    pub(super) end_date: String,
    pub(super) year: String,
    pub(super) period: &'static str,
}

impl Calendar {
    fn new(quarters: Range<i64>) -> Self {
        let first = quarters.start;
        let quarter = |quarter| {
            let report_date = quarter_end(quarter);
            let day = Day::of(report_date);
            let (end_date, year) = (day.to_string(), day.year());
            Quarter { report_date, end_date, year, period: day.period() }
        };
        Self { first, quarters: quarters.map(quarter).collect() }
    }

    fn of(&self, quarter: i64) -> Option<&Quarter> {
        self.quarters.get(usize::try_from(quarter - self.first).ok()?)
    }
}
