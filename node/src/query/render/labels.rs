//! The indicators' names as JSON keys, written once for all answers.

use crate::{
    cache::stock_data_map::escape,
    model::{IndicatorId, Indicators},
};

/// `"name":` for each indicator, by id.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    text: Box<[u8]>,
    ends: Box<[usize]>,
}

impl Labels {
    pub(crate) fn new(indicators: &Indicators) -> Self {
        let mut text = Vec::new();
        let ends = indicators.names().iter().map(|name| {
            text.push(b'"');
            escape(&mut text, name);
            text.extend_from_slice(b"\":");
            text.len()
        });
        let ends = ends.collect();
        Self { text: text.into(), ends }
    }

    pub(crate) fn knows(&self, id: IndicatorId) -> bool {
        usize::from(id.0) < self.ends.len()
    }

    /// The key of an indicator, colon included.
    ///
    /// # Panics
    /// If the id is not one of the store's.
    pub(super) fn get(&self, id: IndicatorId) -> &[u8] {
        let at = usize::from(id.0);
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }
}
