//! Planning for the newest row at or before a time.

use smallvec::SmallVec;

use super::{Plan, need};
use crate::{
    cache::stock_data_map::StockDataMap,
    model::{Epoch, IndicatorId, Subject},
    store::Rows,
};

/// What is known of the newest row at or before a time.
enum Newest {
    /// It is this one.
    Row(usize),
    /// There is none.
    None,
    /// Rows may be missing below `at`, newest of all. `known` is the newest known row, if any.
    Unsure { at: Epoch, known: Option<usize> },
}

fn newest(map: &StockDataMap, at: Epoch) -> Newest {
    let known = map.newest(at);
    let Some(run) = map.known_rows().run_containing(at) else {
        return Newest::Unsure { at, known };
    };
    match known {
        Some(row) if run.from() <= map.report_date(row) => Newest::Row(row),
        _ => match run.from().checked_sub(1) {
            None => Newest::None,
            Some(at) => Newest::Unsure { at, known },
        },
    }
}

pub(super) fn is_known(map: &StockDataMap, indicators: &[IndicatorId], at: Epoch) -> bool {
    match newest(map, at) {
        Newest::Row(row) => {
            let date = map.report_date(row);
            indicators.iter().all(|id| map.known(*id).contains(date))
        }
        Newest::None => true,
        Newest::Unsure { .. } => false,
    }
}

pub(super) fn plan(
    subject: &Subject,
    map: &StockDataMap,
    indicators: &[IndicatorId],
    at: Epoch,
) -> Plan {
    match newest(map, at) {
        Newest::None => Plan { needs: SmallVec::new(), some_known: true },
        Newest::Row(row) => {
            let date = map.report_date(row);
            let missing: SmallVec<[IndicatorId; 8]> =
                indicators.iter().copied().filter(|id| !map.known(*id).contains(date)).collect();
            let mut needs = SmallVec::new();
            if !missing.is_empty() {
                // Not just the row: that it is the newest for these indicators too is learned so.
                needs.push(need(subject, Rows::Newest { not_before: date, at }, &missing));
            }
            Plan { needs, some_known: missing.len() < indicators.len() }
        }
        Newest::Unsure { at, known } => {
            let not_before = not_before(map, indicators, known);
            let rows = Rows::Newest { not_before, at };
            let whole = not_before == Epoch::MIN;
            Plan {
                needs: SmallVec::from_elem(need(subject, rows, indicators), 1),
                some_known: !whole,
            }
        }
    }
}

/// The oldest row that could still be the newest one, when it has to be read.
fn not_before(map: &StockDataMap, indicators: &[IndicatorId], known: Option<usize>) -> Epoch {
    let rows = map.known_rows();
    let after = |at| rows.run_containing(at).map_or(at, |run| run.to().saturating_add(1));
    match known.map(|row| map.report_date(row)) {
        // All of the newest known row is known: only newer ones are asked for.
        Some(date) if indicators.iter().all(|id| map.known(*id).contains(date)) => after(date),
        Some(date) => date,
        None => after(Epoch::MIN),
    }
}
