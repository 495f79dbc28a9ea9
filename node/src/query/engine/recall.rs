//! The cached way: everything is known, nothing is awaited.

use std::time::Instant;

use smallvec::SmallVec;

use super::Inner;
use crate::{
    cache::stock_data_map::Known,
    model::Revision,
    query::{Scope, Source, plan::Ask},
};

/// Inline for as many subjects as requests usually name.
pub(super) type Maps = SmallVec<[Known; 8]>;

impl<S: Source> Inner<S> {
    /// All maps the answer is made of, if the cache holds them and they belong together.
    pub(super) fn recall(
        &self,
        scope: &Scope,
        ask: &Ask,
        now: Instant,
    ) -> Option<(Maps, Revision)> {
        let mark = self.knowledge.writes.mark();
        let members = match scope.lookup() {
            None => None,
            Some(lookup) => Some(self.knowledge.members.get(lookup.key(), now)?),
        };
        let names = scope.names(members.as_deref().unwrap_or_default());
        let mut maps = Maps::with_capacity(names.len());
        for name in &names {
            let map = self.knowledge.get(name, now)?;
            if !ask.is_known(&map) {
                return None;
            }
            maps.push(map);
        }
        let writes = &self.knowledge.writes;
        if !writes.calm_since(mark) {
            // One part that was touched goes with any others that were not; two need not agree.
            let lists = members.is_some() && writes.members_touched_since(mark);
            let touched = names.iter().filter(|name| writes.touched_since(mark, name)).count();
            if touched + usize::from(lists) > 1 {
                return None;
            }
        }
        self.knowledge.counters.hit(names.len());
        Some((maps, mark.visible))
    }
}
