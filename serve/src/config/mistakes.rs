//! What is wrong with a configuration, collected so that one run names every mistake.

use std::{
    fmt::{self, Display},
    ops::RangeInclusive,
};

/// One mistake in a configuration: which key, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    key: String,
    text: String,
}

impl Mistake {
    /// A mistake in the value of `key`; renders as `` `key`: reason``.
    #[must_use]
    pub fn new(key: impl Display, reason: impl Display) -> Self {
        let key = key.to_string();
        let text = format!("`{key}`: {reason}");
        Self { key, text }
    }

    /// A mistake about `key` whose whole sentence is given.
    pub(super) fn sentence(key: String, text: String) -> Self {
        Self { key, text }
    }

    /// The path of the key, such as `server.port`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The mistakes found so far.
///
/// The checks hand back a usable value even where they note a mistake, so that checking goes on
/// and the rest of the file is looked at too; [`into_result`](Self::into_result) decides.
///
/// ```
/// use kamaitachi_serve::config::Mistakes;
///
/// let mut mistakes = Mistakes::new();
/// let mut cache = mistakes.section("cache");
/// cache.within("snapshot_keep", 0, 1..=100);
/// cache.require("ttl", false, "must not be zero");
/// let found = mistakes.into_result().unwrap_err();
/// assert_eq!(
///     found.to_string(),
///     "`cache.snapshot_keep`: 0 is outside 1 to 100 (and 1 more mistake)"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    all: Vec<Mistake>,
}

impl Mistakes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a mistake in the value of `key`.
    pub fn add(&mut self, key: impl Display, reason: impl Display) {
        self.push(Mistake::new(key, reason));
    }

    /// Notes a ready-made mistake; one that is already noted is not repeated.
    pub fn push(&mut self, mistake: Mistake) {
        if !self.all.contains(&mistake) {
            self.all.push(mistake);
        }
    }

    /// A view in which every key lies below `prefix`.
    pub fn section(&mut self, prefix: impl Display) -> Section<'_> {
        Section { mistakes: self, prefix: prefix.to_string() }
    }

    /// Takes over what another check found.
    pub fn extend(&mut self, other: Self) {
        for mistake in other.all {
            self.push(mistake);
        }
    }

    /// The mistakes, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.all.iter()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many were found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Ends the collecting.
    ///
    /// # Errors
    /// Itself, if anything was found.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line: the first mistake, and how many more there are.
impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.all.first() else { return f.write_str("no mistake") };
        first.fmt(f)?;
        match self.all.len() {
            1 => Ok(()),
            2 => f.write_str(" (and 1 more mistake)"),
            n => write!(f, " (and {} more mistakes)", n - 1),
        }
    }
}

impl std::error::Error for Mistakes {}

/// [`Mistakes`] seen from inside a section: keys are given without its prefix.
#[derive(Debug)]
pub struct Section<'a> {
    mistakes: &'a mut Mistakes,
    prefix: String,
}

impl Section<'_> {
    /// Notes a mistake in the value of `key`.
    pub fn add(&mut self, key: impl Display, reason: impl Display) {
        let key = self.path(key);
        self.mistakes.add(key, reason);
    }

    /// Notes `reason` unless `holds`, which is handed back.
    pub fn require(&mut self, key: impl Display, holds: bool, reason: impl Display) -> bool {
        if !holds {
            self.add(key, reason);
        }
        holds
    }

    /// Notes a value outside `allowed`; hands back the nearest value inside.
    pub fn within<T: PartialOrd + Display>(
        &mut self,
        key: impl Display,
        value: T,
        allowed: RangeInclusive<T>,
    ) -> T {
        if allowed.contains(&value) {
            return value;
        }
        let (low, high) = allowed.into_inner();
        self.add(key, format_args!("{value} is outside {low} to {high}"));
        if value > high { high } else { low }
    }

    /// The value of `result`, or `None` with its error noted.
    pub fn take<T, E: Display>(&mut self, key: impl Display, result: Result<T, E>) -> Option<T> {
        result.map_err(|reason| self.add(key, reason)).ok()
    }

    /// A section inside this one.
    pub fn section(&mut self, prefix: impl Display) -> Section<'_> {
        let prefix = self.path(prefix);
        Section { mistakes: self.mistakes, prefix }
    }

    fn path(&self, key: impl Display) -> String {
        if self.prefix.is_empty() { key.to_string() } else { format!("{}.{key}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_sections_give_whole_paths_and_clamped_values() {
        let mut mistakes = Mistakes::new();
        let mut routes = mistakes.section("routes");
        let mut snapshot = routes.section("snapshot");
        assert_eq!(snapshot.within("rate", 0.5, 1.0..=9.0), 1.0);
        assert_eq!(snapshot.within("rate", 11.0, 1.0..=9.0), 9.0);
        assert_eq!(snapshot.take("peer", "nowhere".parse::<std::net::IpAddr>()), None);
        let keys: Vec<_> = mistakes.iter().map(Mistake::key).collect();
        assert_eq!(keys, ["routes.snapshot.rate", "routes.snapshot.rate", "routes.snapshot.peer"]);
    }

    #[test]
    fn the_same_mistake_is_told_once() {
        let mut mistakes = Mistakes::new();
        mistakes.add("a", "is wrong");
        mistakes.add("a", "is wrong");
        assert_eq!(mistakes.len(), 1);
        assert_eq!(mistakes.to_string(), "`a`: is wrong");
    }
}
