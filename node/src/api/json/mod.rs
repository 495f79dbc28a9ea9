//! The one JSON reader of the node: every body that is JSON passes through [`read_object`].
//!
//! It is stricter than `serde_json` alone where two readers could disagree about the same bytes:
//! the text must be UTF-8, a key may stand once in an object at every depth (also in parts that
//! nobody asked for), nesting stops at a given depth, and nothing may follow the object. What is
//! not asked for is checked and skipped, never stored.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::failure::Failure;

/// How deep arrays and objects may nest unless configured otherwise; the body itself is level 1.
pub const MAX_DEPTH: u8 = 64;
/// The deepest nesting that can be configured: beyond it the parser below has its own limit.
pub const DEEPEST: u8 = 120;

/// A JSON value that borrows its texts from the body wherever they hold no escapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Given<'a> {
    /// The field is not in the body.
    #[default]
    Absent,
    /// `null`, which every field reads as absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number written as an integer, within 64 bits.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Self>),
    /// An object, in the order of the body.
    Map(Vec<(Cow<'a, str>, Self)>),
}

impl Given<'_> {
    /// Whether the field counts as not given.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }
}

/// Shows the value as a message can quote it: short, on one line.
impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            // With its point or exponent, as it has to be told from an integer.
            Self::Number(value) => fmt::Debug::fmt(value, f),
            Self::Text(text) => write!(f, "\"{}\"", Quoted(text)),
            Self::List(_) => f.write_str("an array"),
            Self::Map(_) => f.write_str("an object"),
        }
    }
}

/// A text of a client as messages and logs may hold it: cut at 64 characters, control
/// characters escaped.
#[derive(Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(64) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                fmt::Write::write_char(f, c)?;
            }
        }
        if chars.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// Reads a body that is one JSON object and returns the fields called `names`, in that order.
/// Other fields are checked and left out. Arrays and objects may nest `max_depth` levels deep,
/// the body itself being the first.
///
/// # Errors
/// [`Failure::BadRequest`] that says what is wrong and where, if the body is anything else.
pub fn read_object<'a, const N: usize>(
    body: &'a [u8],
    names: &[&str; N],
    max_depth: u8,
) -> Result<[Given<'a>; N], Failure> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Failure::bad(format!("body is not UTF-8: bad byte at offset {}", error.valid_up_to()))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(Failure::bad("body is empty: expected a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields =
        Object { names, max_depth }.deserialize(&mut reader).map_err(|error| explain(&error))?;
    reader.end().map_err(|error| explain(&error))?;
    Ok(fields)
}

/// Own words for the reader's errors: ours pass as they are, the library's are reduced to a place.
fn explain(error: &serde_json::Error) -> Failure {
    let place = format!("line {} column {}", error.line(), error.column());
    Failure::bad(match error.classify() {
        serde_json::error::Category::Data => error.to_string(),
        serde_json::error::Category::Eof => format!("body is not JSON: it ends early, at {place}"),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("body is not JSON: syntax error at {place}")
        }
    })
}

/// The top of a body: an object with some wanted fields.
struct Object<'n, const N: usize> {
    names: &'n [&'n str; N],
    max_depth: u8,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Object<'_, N> {
    type Value = [Given<'de>; N];

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Object<'_, N> {
    type Value = [Given<'de>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object as the body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [const { Given::Absent }; N];
        let mut others = Keys::default();
        let level = Level { at: 1, max: self.max_depth };
        while let Some(Key(key)) = map.next_key()? {
            match self.names.iter().position(|name| *name == key) {
                Some(at) if fields[at] == Given::Absent => {
                    fields[at] = map.next_value_seed(Value(level))?;
                }
                Some(_) => return Err(repeated(&key)),
                None => {
                    others.add(key)?;
                    map.next_value_seed(Skip(level))?;
                }
            }
        }
        Ok(fields)
    }
}

fn repeated<E: serde::de::Error>(key: &str) -> E {
    E::custom(format_args!("key `{}` stands twice in one object", Quoted(key)))
}

/// How deep a value stands, and how deep it may.
#[derive(Clone, Copy)]
struct Level {
    at: u8,
    max: u8,
}

impl Level {
    /// One level further in, or the error that says it is one too many.
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.at < self.max {
            Ok(Self { at: self.at + 1, ..self })
        } else {
            Err(E::custom(format_args!("body nests deeper than {} levels", self.max)))
        }
    }
}

/// Reads a value into a [`Given`].
struct Value(Level);

/// Reads a value and keeps nothing of it.
struct Skip(Level);

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Given<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Given<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Given<'de>, E> {
        Ok(Given::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Given<'de>, E> {
        Ok(Given::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Given<'de>, E> {
        Ok(Given::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Given<'de>, E> {
        #[expect(clippy::cast_precision_loss, reason = "beyond 64 signed bits it is no integer")]
        Ok(i64::try_from(value).map_or(Given::Number(value as f64), Given::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Given<'de>, E> {
        Ok(Given::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Given<'de>, E> {
        Ok(Given::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Given<'de>, A::Error> {
        let level = self.0.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Self(level))? {
            list.push(item);
        }
        Ok(Given::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given<'de>, A::Error> {
        let level = self.0.deeper()?;
        let mut keys = Keys::default();
        let mut entries = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            keys.add(key.clone())?;
            entries.push((key, map.next_value_seed(Self(level))?));
        }
        Ok(Given::Map(entries))
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let level = self.0.deeper()?;
        while seq.next_element_seed(Self(level))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let level = self.0.deeper()?;
        let mut keys = Keys::default();
        while let Some(Key(key)) = map.next_key()? {
            keys.add(key)?;
            map.next_value_seed(Self(level))?;
        }
        Ok(())
    }
}

/// The key of a member, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        reader.deserialize_str(Text)
    }
}

/// The keys of one object so far. A handful is compared one by one; many go into a keyed hash
/// set, so that no body makes this quadratic.
#[derive(Default)]
struct Keys<'a> {
    few: smallvec::SmallVec<[Cow<'a, str>; 8]>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn add<E: serde::de::Error>(&mut self, key: Cow<'a, str>) -> Result<(), E> {
        if self.few.contains(&key) || self.many.contains(&key) {
            return Err(repeated(&key));
        }
        if self.few.len() < self.few.inline_size() {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
