//! Logs on standard error: one JSON object a line for machines, coloured text for a terminal.
//!
//! Control characters in what is logged are escaped, so a client can't forge lines or colours.

use std::io::{self, IsTerminal as _};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt};

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected a log level or filter such as \"info\" or \"info,hyper=warn\", found {filter:?}: {reason}"
)]
pub struct InvalidFilter {
    filter: String,
    reason: String,
}

/// Starts logging at `level`: a level, or a filter in the syntax of `RUST_LOG`, which takes its
/// place where it is set and not empty. Only the first call in a process has an effect.
///
/// # Errors
/// `level` (or `RUST_LOG`) is not a filter.
pub fn init(level: &str, format: LogFormat) -> Result<(), InvalidFilter> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(own) if !own.is_empty() => parse(&own)?,
        _ => parse(level)?,
    };
    let terminal = io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(terminal);
    // A second call finds the first one's subscriber in place, which is as good.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.try_init()
    };
    Ok(())
}

/// Checks a filter as [`init`] takes it, for configuration checks.
///
/// # Errors
/// It is none.
pub fn check(filter: &str) -> Result<(), InvalidFilter> {
    parse(filter).map(drop)
}

fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    let invalid = |reason: String| InvalidFilter { filter: filter.to_owned(), reason };
    if filter.trim().is_empty() {
        return Err(invalid("it is empty".to_owned()));
    }
    EnvFilter::try_new(filter).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_and_starting_twice_is_harmless() {
        check("info,hyper=warn").unwrap();
        assert!(check("").is_err());
        let message = check("info,hyper=loud").unwrap_err().to_string();
        assert!(message.contains("hyper=loud"), "{message}");
        init("warn", LogFormat::Auto).unwrap();
        init("warn", LogFormat::Json).unwrap();
    }
}
