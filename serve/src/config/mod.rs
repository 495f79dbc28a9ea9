//! Configuration files for every process: TOML or INI, overridden by the environment.
//!
//! A process describes its file by a raw serde type, all of whose fields have defaults. [`load`]
//! reads a file into it; [`load_checked`] also turns it into a type that can't be wrong. Both name
//! *every* mistake of a file at once: keys that do not exist (with the one that was likely meant),
//! values of the wrong type, and, in the checked form, values that are out of range.
//!
//! - TOML is the native format; a file that ends in `.ini` is INI, with the same sections and keys
//!   (`[a.b]` is the table `b` in `a`). INI values have no types and are read as what the key wants.
//! - `KAMAITACHI__SECTION__KEY=value` overrides `section.key`; lists are separated by commas, and
//!   an empty value unsets an optional key. A variable with our prefix that names no key is a
//!   mistake like any other.
//! - Raw types must not use `#[serde(flatten)]`, which hides from serde which keys exist; inside
//!   tagged and untagged enums text keeps its type, as serde asks for none.
//!
//! ```
//! use kamaitachi_serve::config::{self, Env, Format};
//!
//! #[derive(serde::Deserialize, Default)]
//! #[serde(default)]
//! struct RawServer { host: String, port: u16 }
//!
//! #[derive(serde::Deserialize, Default)]
//! #[serde(default)]
//! struct Raw { server: RawServer }
//!
//! let env = Env::from_pairs([("KAMAITACHI__SERVER__HOST", "::1")]);
//! let raw: Raw = config::load_text("[server]\nport = 9000", Format::Toml, &env)?;
//! assert_eq!((raw.server.host.as_str(), raw.server.port), ("::1", 9000));
//!
//! let wrong = "[server]\nprot = 1\nport = 70000";
//! let error = config::load_text::<Raw>(wrong, Format::Toml, &Env::default()).err().unwrap();
//! assert_eq!(
//!     error.report(),
//!     "text: `server.port`: expected an integer from 0 to 65535, found 70000\n\
//!      text: unknown key `server.prot`; did you mean `server.port`?"
//! );
//! # Ok::<(), config::ConfigError>(())
//! ```

mod de;
mod env;
mod error;
mod ini;
mod mistakes;
mod nearest;
#[cfg(test)]
mod tests;
mod tree;
mod values;

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

pub use env::Env;
pub use error::{ConfigError, Origin};
pub use mistakes::{Mistake, Mistakes, Section};
pub use values::{InvalidSecret, List, Millis, Minutes, Seconds, Secret, Size, Span};

use tree::{Dotted, Node, Segment, Value};

/// What a configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML: values have types.
    Toml,
    /// INI: every value is text.
    Ini,
}

impl Format {
    /// INI for `.ini` in any case, TOML for everything else.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("ini") => Self::Ini,
            _ => Self::Toml,
        }
    }
}

/// Reads a file into its raw type, environment overrides included.
///
/// # Errors
/// The file can't be read, is not of its format, or has mistakes: all of them are named.
pub fn load<Raw: DeserializeOwned>(path: &Path, env: &Env) -> Result<Raw, ConfigError> {
    load_checked(Some(path), env, |raw, _| raw)
}

/// Reads defaults and environment overrides alone, for a process that is given no file.
///
/// # Errors
/// A variable names no key, or has a value of the wrong type.
pub fn from_env<Raw: DeserializeOwned>(env: &Env) -> Result<Raw, ConfigError> {
    load_checked(None, env, |raw, _| raw)
}

/// Reads a text into its raw type; errors call it `text`.
///
/// # Errors
/// As [`load`].
pub fn load_text<Raw: DeserializeOwned>(
    text: &str,
    format: Format,
    env: &Env,
) -> Result<Raw, ConfigError> {
    let origin = Origin::File(PathBuf::from("text"));
    let tree = parse(&origin, text, format)?;
    finish(origin, tree, env, |raw, _| raw)
}

/// Reads a file (or, without one, the environment alone) and turns the raw type into a checked
/// one.
///
/// `check` notes what is wrong in the [`Mistakes`] and gives the checked value as well as it can.
/// It also runs when the file has wrong keys or types (they then have their defaults), so that one
/// run names everything; its value is used only where no mistake was found at all.
///
/// # Errors
/// As [`load`], with what `check` noted.
pub fn load_checked<Raw: DeserializeOwned, T>(
    path: Option<&Path>,
    env: &Env,
    check: impl FnOnce(Raw, &mut Mistakes) -> T,
) -> Result<T, ConfigError> {
    let Some(path) = path else {
        return finish(Origin::Environment, Node::empty(), env, check);
    };
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { file: path.to_owned(), source })?;
    let origin = Origin::File(path.to_owned());
    let tree = parse(&origin, &text, Format::of(path))?;
    finish(origin, tree, env, check)
}

fn parse(origin: &Origin, text: &str, format: Format) -> Result<Node, ConfigError> {
    Node::parse(text, format)
        .map_err(|reason| ConfigError::Malformed { origin: origin.clone(), reason })
}

fn finish<Raw: DeserializeOwned, T>(
    origin: Origin,
    mut tree: Node,
    env: &Env,
    check: impl FnOnce(Raw, &mut Mistakes) -> T,
) -> Result<T, ConfigError> {
    let mut mistakes = Mistakes::new();
    tree.overlay(env, &mut mistakes);
    let raw = read(&mut tree, &mut mistakes);
    let checked = raw.map(|raw| check(raw, &mut mistakes));
    match (checked, mistakes.is_empty()) {
        (Some(checked), true) => Ok(checked),
        _ => Err(ConfigError::Invalid { origin, mistakes }),
    }
}

/// Reads the tree again and again, each time without what was refused the time before, until
/// nothing is refused. `None` where what is left can't make a `Raw`.
fn read<Raw: DeserializeOwned>(tree: &mut Node, mistakes: &mut Mistakes) -> Option<Raw> {
    let unknown = RefCell::new(Vec::new());
    let mut refused = Vec::new();
    let raw = loop {
        let reader = de::Reader { node: tree, path: Vec::new(), unknown: &unknown };
        match Raw::deserialize(reader) {
            Ok(raw) => break Some(raw),
            Err(fault) => {
                if !set_aside(tree, fault, &mut refused) {
                    break None;
                }
            }
        }
    };
    refused.append(&mut unknown.into_inner());
    refused.sort();
    for mistake in refused {
        mistakes.push(mistake);
    }
    raw
}

/// Notes the fault and takes what it is about out of the tree; `false` where that is the whole.
fn set_aside(tree: &mut Node, fault: de::Fault, refused: &mut Vec<Mistake>) -> bool {
    let mut path = fault.path.unwrap_or_default();
    if let Some(missing) = fault.missing {
        let mut whole = path.clone();
        whole.push(Segment::Key(missing.to_owned()));
        // A required key that was refused before is not missing as well.
        if tree.at(&whole).is_none() {
            let key = Dotted(&whole).to_string();
            let text = format!("missing key `{key}`");
            refused.push(Mistake::sentence(key, text));
        }
    } else {
        // A list given as one text is refused as a whole.
        while tree.at(&path).is_none() {
            path.pop();
        }
        let key = Dotted(&path).to_string();
        let variable = tree.at(&path).and_then(|node| node.variable.clone());
        refused.push(match variable {
            Some(name) => {
                let text = format!("`{key}` (from {name}): {}", fault.reason);
                Mistake::sentence(key, text)
            }
            None if key.is_empty() => Mistake::sentence(key, fault.reason),
            None => Mistake::new(key, fault.reason),
        });
    }
    match tree.at(&path) {
        Some(node) if !path.is_empty() && !matches!(node.value, Value::Gone) => {
            node.value = Value::Gone;
            true
        }
        _ => false,
    }
}
