//! `[scatter]`: what questions that are split by subject may take.

use std::num::NonZeroUsize;

use kamaitachi_layers::scatter::{DEFAULT_AT_ONCE, DEFAULT_LIMIT};
use kamaitachi_serve::config::{Mistakes, Size};
use serde::{Deserialize, Serialize};

/// `[scatter]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawScatter {
    /// Nodes asked at a time for one request.
    pub at_once: usize,
    /// Bytes of their answers that are held to be merged.
    pub max_answers: Size,
}

impl Default for RawScatter {
    fn default() -> Self {
        Self { at_once: DEFAULT_AT_ONCE.get(), max_answers: Size(DEFAULT_LIMIT as u64) }
    }
}

/// What a question that is split by subject may take.
#[derive(Clone, Copy, Debug)]
pub struct Scatters {
    /// Nodes asked at a time for one request; the others wait.
    pub at_once: NonZeroUsize,
    /// Bytes of their answers that are held to be merged; if they are more, one node is asked for all.
    pub max_answers: usize,
}

impl Scatters {
    pub(super) fn check(raw: &RawScatter, mistakes: &mut Mistakes) -> Self {
        let mut section = mistakes.section("scatter");
        let at_once = section.within("at_once", raw.at_once, 1..=1_024);
        let sizes = Size(1_024)..=Size(1 << 30);
        Self {
            at_once: NonZeroUsize::new(at_once).unwrap_or(DEFAULT_AT_ONCE),
            max_answers: section.within("max_answers", raw.max_answers, sizes).as_usize(),
        }
    }
}
