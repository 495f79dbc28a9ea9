//! Single subjects of the cache, for whoever looks at it from outside, and word of writes that the
//! store has not applied yet.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::Engine;
use crate::{
    cache::{Heard, snapshot::write_entry},
    model::{Revision, Subject},
    query::Source,
};

/// What is remembered of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether the store has the subject; else what is remembered is that it has not.
    pub exists: bool,
    /// How long it is remembered yet.
    pub left: Duration,
    /// Bytes it takes.
    pub bytes: usize,
}

impl<S: Source> Engine<S> {
    /// Others say that `subject` was written at `revision`, of the history that the store here
    /// tells. If the store is not as far, what is remembered from before goes, and until it is
    /// nothing from before is remembered: for ten seconds at the most, and of ten thousand
    /// subjects at a time.
    ///
    /// No answer depends on it: word that is late, repeated or wrong costs reads and no more.
    #[expect(clippy::must_use_candidate, reason = "word is passed on whatever comes of it")]
    pub fn foretell(&self, subject: &Subject, revision: Revision) -> Heard {
        self.inner.knowledge.foretell(subject, revision, Instant::now().into_std())
    }

    /// How many subjects are foretold to be written.
    #[must_use]
    pub fn foretold(&self) -> usize {
        self.inner.knowledge.foretold()
    }

    /// Ends the wait for what was foretold and has not come in ten seconds. Worth doing every
    /// second; costs nothing where nothing was foretold.
    pub fn purge_foretold(&self) {
        self.inner.knowledge.purge_foretold(Instant::now().into_std());
    }

    /// Forgets a subject; says whether anything was remembered of it.
    #[expect(clippy::must_use_candidate, reason = "forgetting is what matters")]
    pub fn forget(&self, subject: &str) -> bool {
        self.inner.knowledge.forget(subject)
    }

    /// Forgets everything.
    pub fn forget_all(&self) {
        self.inner.knowledge.clear();
    }

    /// What is remembered of a subject; it is not used by that.
    #[must_use]
    pub fn held(&self, subject: &str) -> Option<Held> {
        let now = Instant::now().into_std();
        let (map, expires) = self.inner.knowledge.peek(subject, now)?;
        let left = expires.saturating_duration_since(now);
        Some(Held { exists: map.exists(), left, bytes: map.bytes() })
    }

    /// All that is remembered of a subject that exists, as a line of JSON, as in a snapshot file.
    #[must_use]
    pub fn line(&self, subject: &str) -> Option<Bytes> {
        let now = Instant::now().into_std();
        let (map, expires) = self.inner.knowledge.peek(subject, now)?;
        let ttl = expires.saturating_duration_since(now).as_millis();
        let mut line = Vec::new();
        let ttl = u64::try_from(ttl).unwrap_or(u64::MAX);
        write_entry(&mut line, &map, ttl, &self.inner.source.indicators());
        map.exists().then(|| line.into())
    }

    /// The first `limit` subjects that exist, begin with `prefix` and come after `after`, in
    /// order. One pass over all that is remembered.
    #[must_use]
    pub fn list(&self, prefix: &str, after: &str, limit: usize) -> Vec<(Subject, Held)> {
        let now = Instant::now().into_std();
        let mut page: BTreeMap<Subject, Held> = BTreeMap::new();
        for (map, expires) in self.inner.knowledge.entries(now) {
            let subject = map.subject();
            if !map.exists() || !subject.starts_with(prefix) || **subject <= *after {
                continue;
            }
            let left = expires.saturating_duration_since(now);
            page.insert(subject.clone(), Held { exists: true, left, bytes: map.bytes() });
            if page.len() > limit {
                page.pop_last();
            }
        }
        page.into_iter().collect()
    }
}
