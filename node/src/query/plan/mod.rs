//! What a query still needs to know of a subject: nothing, or the fewest reads that tell it.
//!
//! Planning is pure. Whether everything is known is decided without allocating; that is all a
//! cached answer pays.

mod newest;
mod range;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use crate::{
    cache::stock_data_map::StockDataMap,
    model::{Epoch, IndicatorId, Subject},
    store::{Need, Rows},
};

/// What a query asks of each of its subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Every indicator that is answered or sorted by, each once.
    pub(crate) indicators: SmallVec<[IndicatorId; 8]>,
    /// Which rows.
    pub(crate) span: Span,
}

/// Which rows a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// The newest at or before a time.
    Newest { at: Epoch },
    /// All in a range.
    Range { from: Epoch, to: Epoch },
}

/// What has to be read for one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Reads that together tell what is missing; none when all is known.
    pub(crate) needs: SmallVec<[Need; 2]>,
    /// Whether some of what is asked is known already.
    pub(crate) some_known: bool,
}

impl Ask {
    pub(crate) fn new(indicators: &[IndicatorId], also: Option<IndicatorId>, span: Span) -> Self {
        let mut indicators: SmallVec<[IndicatorId; 8]> = SmallVec::from_slice(indicators);
        if let Some(also) = also.filter(|also| !indicators.contains(also)) {
            indicators.push(also);
        }
        Self { indicators, span }
    }

    /// Whether `map` tells all that is asked.
    pub(crate) fn is_known(&self, map: &StockDataMap) -> bool {
        match self.span {
            Span::Newest { at } => newest::is_known(map, &self.indicators, at),
            Span::Range { from, to } => range::is_known(map, &self.indicators, from, to),
        }
    }

    /// What has to be read where `map` is all that is known.
    pub(crate) fn plan(&self, subject: &Subject, map: Option<&StockDataMap>) -> Plan {
        match (self.span, map) {
            (Span::Newest { at }, Some(map)) => newest::plan(subject, map, &self.indicators, at),
            (Span::Range { from, to }, Some(map)) => {
                range::plan(subject, map, &self.indicators, from, to)
            }
            (_, None) => {
                Plan { needs: SmallVec::from_elem(self.whole(subject), 1), some_known: false }
            }
        }
    }

    /// The read that tells everything from nothing.
    pub(crate) fn whole(&self, subject: &Subject) -> Need {
        let rows = match self.span {
            Span::Newest { at } => Rows::Newest { not_before: Epoch::MIN, at },
            Span::Range { from, to } => Rows::Between { from, to },
        };
        need(subject, rows, &self.indicators)
    }
}

fn need(subject: &Subject, rows: Rows, indicators: &[IndicatorId]) -> Need {
    Need { subject: subject.clone(), rows, indicators: indicators.into() }
}
