//! One JSON value that is neither array nor object.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::check::shown;

/// The value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar<'de> {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'de, str>),
}

impl Scalar<'_> {
    /// A text; empty for null.
    pub(super) fn text(&self, field: &str) -> Result<&str, String> {
        match self {
            Self::Null => Ok(""),
            Self::Text(text) => Ok(text),
            _ => Err(format!("{field}: expected a text, got {self}")),
        }
    }

    pub(super) fn integer(&self, field: &str) -> Result<i64, String> {
        match self {
            Self::Integer(n) => Ok(*n),
            _ => Err(format!("{field}: expected epoch seconds, a whole number, got {self}")),
        }
    }

    pub(super) fn number(&self, field: &str) -> Result<Option<f64>, String> {
        match self {
            Self::Null => Ok(None),
            #[expect(clippy::cast_precision_loss, reason = "numbers are IEEE doubles here")]
            Self::Integer(n) => Ok(Some(*n as f64)),
            Self::Number(x) if x.is_finite() => Ok(Some(*x)),
            _ => Err(format!("{}: expected a number or null, got {self}", shown(field))),
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(n) => n.fmt(f),
            Self::Number(x) => x.fmt(f),
            Self::Text(text) => f.write_str(&shown(text)),
        }
    }
}

/// Reads the value of the field it names.
pub(super) struct ScalarSeed<'f>(pub(super) &'f str);

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        // A number such as 1e999 fails in the parser, which does not know whose it is.
        let error = |error| D::Error::custom(format!("{}: {error}", self.0));
        deserializer.deserialize_any(ScalarVisitor).map_err(error)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(n))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Scalar<'de>, E> {
        #[expect(clippy::cast_precision_loss, reason = "numbers are IEEE doubles here")]
        Ok(i64::try_from(n).map_or(Scalar::Number(n as f64), Scalar::Integer))
    }

    fn visit_f64<E: Error>(self, x: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(x))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Scalar<'de>, A::Error> {
        Err(A::Error::custom("expected a single value, got an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Scalar<'de>, A::Error> {
        Err(A::Error::custom("expected a single value, got an object"))
    }
}
