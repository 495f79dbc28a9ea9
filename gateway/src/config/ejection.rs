//! `[ejection]`: when a node that lets requests down gets none for a while.

use std::time::Duration;

use kamaitachi_policies::outlier::{OutlierConfig, Places};
use kamaitachi_serve::config::{Millis, Mistakes, Span};
use serde::{Deserialize, Serialize};

/// What is left can just about do the work of all.
const MAX_PERCENT: u8 = 50;

/// `[ejection]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawEjection {
    /// Requests in a row that another node answered in its place; 0 = never for that.
    pub lost_hedges: u32,
    /// How long it gets none the first time.
    pub time: Millis,
    /// How long at most.
    pub max_time: Millis,
    /// Share of the nodes that may be out for being late.
    pub max_percent: u8,
}

impl Default for RawEjection {
    fn default() -> Self {
        let OutlierConfig { losses, time, max_time, .. } = OutlierConfig::default();
        let (time, max_time) = (Span(time), Span(max_time));
        Self { lost_hedges: losses, time, max_time, max_percent: MAX_PERCENT }
    }
}

/// When a node that lets requests down gets none for a while.
#[derive(Clone, Copy, Debug)]
pub struct Ejection {
    /// Requests in a row that another node answered in its place; 0 = never for that.
    pub lost_hedges: u32,
    /// How long it gets none the first time.
    pub time: Duration,
    /// How long at most.
    pub max_time: Duration,
    /// How many nodes may be out for being late.
    pub places: Places,
}

impl Ejection {
    pub(super) fn check(raw: &RawEjection, mistakes: &mut Mistakes) -> Self {
        let mut section = mistakes.section("ejection");
        let day = Millis::of(86_400_000);
        let time = section.within("time", raw.time, Millis::of(1)..=day);
        Self {
            lost_hedges: section.within("lost_hedges", raw.lost_hedges, 0..=10_000),
            time: time.into(),
            max_time: section.within("max_time", raw.max_time, time..=day).into(),
            places: Places::percent(section.within("max_percent", raw.max_percent, 0..=100)),
        }
    }
}
