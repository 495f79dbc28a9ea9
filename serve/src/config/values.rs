//! The kinds of raw values that configuration files share.

use std::{
    fmt::{self, Display},
    fs,
    marker::PhantomData,
    str::FromStr,
    time::Duration,
};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

use super::Env;

/// A length of time: text with a unit (`"250ms"`, `"5m"`, `"1h 30m"`), or a bare number in the
/// unit of the key, which is `NANOS` nanoseconds long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span<const NANOS: u64>(pub Duration);

/// A length of time whose bare numbers are milliseconds.
pub type Millis = Span<1_000_000>;
/// A length of time whose bare numbers are seconds.
pub type Seconds = Span<1_000_000_000>;
/// A length of time whose bare numbers are minutes.
pub type Minutes = Span<60_000_000_000>;

impl<const NANOS: u64> Span<NANOS> {
    /// `number` units.
    #[must_use]
    pub const fn of(number: u32) -> Self {
        Self(Duration::from_nanos(NANOS.saturating_mul(number as u64)))
    }

    fn from_f64(number: f64) -> Option<Self> {
        let unit = Duration::from_nanos(NANOS).as_secs_f64();
        Duration::try_from_secs_f64(number * unit).ok().map(Self)
    }
}

impl<const NANOS: u64> FromStr for Span<NANOS> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let parsed = match text.parse::<f64>() {
            Ok(number) => Self::from_f64(number),
            Err(_) => humantime::parse_duration(text).ok().map(Self),
        };
        parsed.ok_or_else(|| {
            format!("expected a duration such as \"250ms\" or \"5m\", found {text:?}")
        })
    }
}

impl<const NANOS: u64> Display for Span<NANOS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<const NANOS: u64> From<Span<NANOS>> for Duration {
    fn from(span: Span<NANOS>) -> Self {
        span.0
    }
}

impl<const NANOS: u64> Serialize for Span<NANOS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes: text with a unit (`"1GiB"`, `"64kB"`), or bare bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// As a length in memory; the longest possible where the machine's is shorter.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim()
            .parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| format!("expected a size such as \"64MiB\" or bytes, found {text:?}"))
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize(self.0).fmt(f)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// Reads a number as the type's own text form.
struct NumberOrText<T> {
    expecting: &'static str,
    made: PhantomData<T>,
}

impl<T: FromStr<Err: Display>> Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de, const NANOS: u64> Deserialize<'de> for Span<NANOS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a duration such as \"250ms\" or \"5m\"";
        deserializer.deserialize_any(NumberOrText { expecting, made: PhantomData })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a size such as \"64MiB\" or bytes";
        deserializer.deserialize_any(NumberOrText { expecting, made: PhantomData })
    }
}

/// A list, or one text with its items between commas. Blanks around items and empty items go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<T = String>(pub Vec<T>);

impl<T: FromStr<Err: Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items
            .map(|item| item.parse().map_err(|reason| format!("{item:?}: {reason}")))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: Display>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or text separated by commas")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List<T>, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(Item(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(List(items))
    }
}

struct Item<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = NumberOrText { expecting: "text in quotes", made: PhantomData };
        deserializer.deserialize_any(visitor).map(Self)
    }
}

/// A password or key: `"env:NAME"`, `"file:PATH"`, or the secret itself, which belongs in an
/// environment override rather than in a file. Prints as `***`.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Why a secret can't be had. Never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecret {
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    NoVariable(String),
    /// The file can't be read.
    #[error("secret file {file} cannot be read: {reason}")]
    Unreadable {
        /// The file named.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
}

impl Secret {
    /// The secret, fetched from where the key says it is. One line break at the end of a file is
    /// not part of it.
    ///
    /// # Errors
    /// The variable or file is not there, or the secret is empty.
    pub fn reveal(&self, env: &Env) -> Result<SecretString, InvalidSecret> {
        let text = if let Some(name) = self.0.strip_prefix("env:") {
            let value = env.get(name);
            value.ok_or_else(|| InvalidSecret::NoVariable(name.to_owned()))?.to_owned()
        } else if let Some(file) = self.0.strip_prefix("file:") {
            let read = fs::read_to_string(file).map_err(|error| InvalidSecret::Unreadable {
                file: file.to_owned(),
                reason: error.to_string(),
            })?;
            let line = read.strip_suffix('\n').unwrap_or(&read);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        } else {
            self.0.clone()
        };
        if text.is_empty() { Err(InvalidSecret::Empty) } else { Ok(text.into()) }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
