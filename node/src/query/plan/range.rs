//! Planning for all rows in a range of time.

use kamaitachi_policies::coverage::Interval;
use smallvec::SmallVec;

use super::{Plan, need};
use crate::{
    cache::stock_data_map::StockDataMap,
    model::{Epoch, IndicatorId, Subject},
    store::Rows,
};

/// Two gaps with at most this many known rows between them are read as one: a further statement
/// costs about as much as reading these again.
const SLACK_ROWS: usize = 16;

type Gaps = SmallVec<[Interval; 2]>;
type Ids = SmallVec<[IndicatorId; 8]>;

pub(super) fn is_known(
    map: &StockDataMap,
    indicators: &[IndicatorId],
    from: Epoch,
    to: Epoch,
) -> bool {
    indicators.iter().all(|id| {
        let known = map.known(*id);
        known.covers(from, to) || known.missing(from, to).all(|gap| is_void(map, gap))
    })
}

pub(super) fn plan(
    subject: &Subject,
    map: &StockDataMap,
    indicators: &[IndicatorId],
    from: Epoch,
    to: Epoch,
) -> Plan {
    // Indicators with the same gaps are read together.
    let mut groups: SmallVec<[(Gaps, Ids); 2]> = SmallVec::new();
    let mut some_known = false;
    for id in indicators {
        let gaps = gaps(map, *id, from, to);
        some_known |= !matches!(gaps[..], [gap] if gap.from() == from && gap.to() == to);
        match groups.iter_mut().find(|(others, _)| *others == gaps) {
            Some((_, ids)) => ids.push(*id),
            None => groups.push((gaps, SmallVec::from_elem(*id, 1))),
        }
    }
    let needs = groups.iter().flat_map(|(gaps, ids)| {
        gaps.iter().map(|gap| need(subject, Rows::Between { from: gap.from(), to: gap.to() }, ids))
    });
    Plan { needs: needs.collect(), some_known }
}

/// What has to be read of one indicator.
fn gaps(map: &StockDataMap, id: IndicatorId, from: Epoch, to: Epoch) -> Gaps {
    let mut gaps = Gaps::new();
    for gap in map.known(id).missing(from, to).filter(|gap| !is_void(map, *gap)) {
        match gaps.last_mut() {
            Some(last) if rows_between(map, *last, gap) <= SLACK_ROWS => {
                *last = Interval::new(last.from(), gap.to()).unwrap_or(gap);
            }
            _ => gaps.push(gap),
        }
    }
    gaps
}

fn rows_between(map: &StockDataMap, below: Interval, above: Interval) -> usize {
    map.rows_in(below.to().saturating_add(1), above.from().saturating_sub(1)).len()
}

/// Whether there are known to be no rows in a stretch: then every indicator is known there.
fn is_void(map: &StockDataMap, gap: Interval) -> bool {
    map.known_rows().covers(gap.from(), gap.to()) && map.rows_in(gap.from(), gap.to()).is_empty()
}
