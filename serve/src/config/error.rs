//! Why a configuration was refused.

use std::{fmt, io, path::PathBuf};

use super::Mistakes;

/// Why a configuration could not be used. Renders as one line that names file, key and reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is missing, or not ours to read.
    #[error("{}: cannot read the configuration file: {source}", file.display())]
    Unreadable {
        /// The file asked for.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not of its format.
    #[error("{origin}: {reason}")]
    Malformed {
        /// The file.
        origin: Origin,
        /// Where the text goes wrong, and how.
        reason: String,
    },
    /// The text can be read, its content is wrong.
    #[error("{origin}: {mistakes}")]
    Invalid {
        /// The file.
        origin: Origin,
        /// Everything that is wrong.
        mistakes: Mistakes,
    },
}

impl ConfigError {
    /// Every mistake on a line of its own, each naming file, key and reason.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::Invalid { origin, mistakes } => {
                let lines: Vec<_> = mistakes.iter().map(|m| format!("{origin}: {m}")).collect();
                lines.join("\n")
            }
            Self::Unreadable { .. } | Self::Malformed { .. } => self.to_string(),
        }
    }

    /// The mistakes, if the text could be read at all.
    #[must_use]
    pub fn mistakes(&self) -> Option<&Mistakes> {
        match self {
            Self::Invalid { mistakes, .. } => Some(mistakes),
            Self::Unreadable { .. } | Self::Malformed { .. } => None,
        }
    }
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, with environment overrides.
    File(PathBuf),
    /// No file: defaults and environment alone.
    Environment,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Environment => f.write_str("environment"),
        }
    }
}
