//! The part of the environment that overrides configuration files.

/// The variables that override configuration keys, and those that secrets are read from.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: Vec<(String, String)>,
}

impl Env {
    /// What the names of overriding variables begin with.
    pub const PREFIX: &'static str = "KAMAITACHI__";

    /// The environment of this process. Variables that are not Unicode are left out.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_pairs(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// An environment of these variables alone.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut variables: Vec<(String, String)> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        variables.sort();
        Self { variables }
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The variables with our prefix, by name.
    pub(super) fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .filter(|(name, _)| name.starts_with(Self::PREFIX))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}
