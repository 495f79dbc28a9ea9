//! The words of the domain: subjects, indicators, rows, revisions.

use std::{collections::HashMap, sync::Arc};

/// One security, `market:code`, such as `33:000001`.
pub type Subject = Arc<str>;

/// Seconds since 1970-01-01 UTC, as the API takes and gives them.
pub type Epoch = i64;

/// The store's up-counting number: every write takes the next one; 0 is the empty store.
///
/// Replication, invalidation, snapshot validity and read-your-writes all compare revisions.
pub type Revision = u64;

/// A numeric measure by its place in the [`Indicators`] of the store that gave it.
///
/// Ids are dense, start at 0, never change while a store is open, and are not stable across
/// restarts: files and wires carry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndicatorId(pub u16);

/// The indicators a store knows, by name and by id. Only ever grows; swapped whole.
#[derive(Clone, Debug, Default)]
pub struct Indicators {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, IndicatorId>,
}

impl Indicators {
    /// Numbers `names` in the order given; a repeated name keeps its first number.
    #[must_use]
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut all = Self::default();
        for name in names {
            all.add(name.as_ref());
        }
        all
    }

    /// Adds one name and returns its id, which is the old one where the name is known.
    ///
    /// # Panics
    /// At more than 65,536 indicators, far above SQLite's own limit on columns.
    pub fn add(&mut self, name: &str) -> IndicatorId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = IndicatorId(u16::try_from(self.names.len()).expect("SQLite allows 2,000 columns"));
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    /// The id of `name`, if it is an indicator.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<IndicatorId> {
        self.ids.get(name).copied()
    }

    /// The name behind an id, if the id is one of this store's.
    #[must_use]
    pub fn name(&self, id: IndicatorId) -> Option<&Arc<str>> {
        self.names.get(usize::from(id.0))
    }

    /// All names, in the order of their ids.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What is known of a subject apart from its rows. Absent fields have no stored value; the
/// defaults of the API are put in where answers are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectInfo {
    /// Display name.
    pub name: Option<Arc<str>>,
    /// Listing status code, such as `213001`.
    pub status: Option<Arc<str>>,
    /// Day of listing, as text.
    pub listing_date: Option<Arc<str>>,
    /// Kind of security, such as `stock`.
    pub category: Option<Arc<str>>,
}

/// What a row says of itself apart from its indicators, already with the defaults that follow
/// from its `report_date`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowInfo {
    /// Last day of the period, `YYYY-MM-DD`.
    pub end_date: Arc<str>,
    /// Code of the period: `596001` to `596004` for the quarters.
    pub period: Arc<str>,
    /// Day on which the figures were declared, as text, where it is known.
    pub declare_date: Option<Arc<str>>,
    /// Four-digit year, as text.
    pub year: Arc<str>,
}
