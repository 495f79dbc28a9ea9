//! Reads a tree into a serde type: coerces typeless text to what the key wants, notes unknown
//! keys with the nearest known one, and says in every error which key it is about.

use std::{cell::RefCell, fmt::Display};

use serde::de::{
    DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
    value::StrDeserializer,
};

use super::{
    Mistake,
    nearest::nearest,
    tree::{Dotted, Node, Segment, Value},
};

/// Why a value was refused, and where it stands.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) path: Option<Vec<Segment>>,
    pub(super) reason: String,
    /// The required key that is not there; then `path` is the table that lacks it.
    pub(super) missing: Option<&'static str>,
}

impl Fault {
    fn new(reason: impl Display) -> Self {
        Self { path: None, reason: reason.to_string(), missing: None }
    }

    fn at(mut self, path: &[Segment]) -> Self {
        self.path.get_or_insert_with(|| path.to_vec());
        self
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: Display>(msg: T) -> Self {
        Self::new(msg)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format_args!("expected {expected}, found {unexpected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format_args!("expected {expected}, found {unexpected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let all = expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let hint = nearest(variant, expected)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Self::new(format_args!("expected one of {all}, found `{variant}`{hint}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = nearest(field, expected)
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Self::new(format_args!("unknown key `{field}`{hint}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format_args!("missing key `{field}`")) }
    }
}

/// Reads one node.
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) path: Vec<Segment>,
    pub(super) unknown: &'a RefCell<Vec<Mistake>>,
}

impl<'a> Reader<'a> {
    fn child(&self, node: &'a Node, segment: Segment) -> Self {
        let mut path = self.path.clone();
        path.push(segment);
        Self { node, path, unknown: self.unknown }
    }

    fn wrong<T>(&self, expected: impl Display) -> Result<T, Fault> {
        let found = match &self.node.value {
            Value::Text(text) | Value::String(text) => format!("{text:?}"),
            Value::Bool(b) => b.to_string(),
            Value::Int(n) => n.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Array(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
            Value::Gone => "nothing".to_owned(),
        };
        Err(Fault::new(format_args!("expected {expected}, found {found}")).at(&self.path))
    }

    fn int<T>(&self, low: T, high: T) -> Result<T, Fault>
    where
        T: TryFrom<i128> + Display + Copy,
    {
        let number = match &self.node.value {
            Value::Int(n) => Some(*n),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.and_then(|n| T::try_from(n).ok()) {
            Some(n) => Ok(n),
            None => self.wrong(format_args!("an integer from {low} to {high}")),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a float key given a huge integer rounds")]
    fn float(&self) -> Result<f64, Fault> {
        let number = match &self.node.value {
            Value::Float(x) => Some(*x),
            Value::Int(n) => Some(*n as f64),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|x| x.is_finite()) {
            Some(x) => Ok(x),
            None => self.wrong("a number"),
        }
    }

    fn entries<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        known: Option<&'static [&'static str]>,
    ) -> Result<V::Value, Fault> {
        let Value::Table(table) = &self.node.value else { return self.wrong("a table") };
        let mut entries = Vec::new();
        for (key, node) in table {
            if matches!(node.value, Value::Gone) {
                continue;
            }
            let child = self.child(node, Segment::Key(key.clone()));
            match known {
                Some(known) if !known.contains(&key.as_str()) => child.note_unknown(key, known),
                _ => entries.push((key.as_str(), child)),
            }
        }
        entries.reverse();
        let path = self.path;
        visitor.visit_map(Entries { entries, value: None }).map_err(|fault| fault.at(&path))
    }

    fn note_unknown(self, key: &str, known: &'static [&'static str]) {
        let dotted = Dotted(&self.path).to_string();
        let mut text = format!("unknown key `{dotted}`");
        if let Some(variable) = &self.node.variable {
            text.push_str(&format!(" (from {variable})"));
        }
        if let Some(near) = nearest(key, known) {
            let mut path = self.path.clone();
            path.pop();
            path.push(Segment::Key(near.to_owned()));
            text.push_str(&format!("; did you mean `{}`?", Dotted(&path)));
        }
        let mistake = Mistake::sentence(dotted, text);
        let mut unknown = self.unknown.borrow_mut();
        if !unknown.contains(&mistake) {
            unknown.push(mistake);
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = self.int(<$type>::MIN, <$type>::MAX)?;
            visitor.$visit(number).map_err(|fault: Fault| fault.at(&self.path))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let done = match &self.node.value {
            Value::Text(text) | Value::String(text) => visitor.visit_str(text),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(n) => match (u64::try_from(*n), i64::try_from(*n)) {
                (Ok(n), _) => visitor.visit_u64(n),
                (_, Ok(n)) => visitor.visit_i64(n),
                _ => visitor.visit_i128(*n),
            },
            Value::Float(x) => visitor.visit_f64(*x),
            Value::Array(_) => return self.deserialize_seq(visitor),
            Value::Table(_) => return self.entries(visitor, None),
            Value::Gone => visitor.visit_unit(),
        };
        done.map_err(|fault: Fault| fault.at(&self.path))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let truth = match &self.node.value {
            Value::Bool(b) => Some(*b),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        match truth {
            Some(b) => visitor.visit_bool(b).map_err(|fault: Fault| fault.at(&self.path)),
            None => self.wrong("true or false"),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let number = self.float()?;
        visitor.visit_f64(number).map_err(|fault: Fault| fault.at(&self.path))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::String(text) => {
                visitor.visit_str(text).map_err(|fault: Fault| fault.at(&self.path))
            }
            _ => self.wrong("text in quotes"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Gone => visitor.visit_none(),
            Value::Text(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let split;
        let items = match &self.node.value {
            Value::Array(items) => items,
            Value::Text(text) => {
                split = split_commas(text);
                &split
            }
            _ => return self.wrong("a list"),
        };
        let mut readers: Vec<_> = items
            .iter()
            .enumerate()
            .filter(|(_, node)| !matches!(node.value, Value::Gone))
            .map(|(index, node)| Reader {
                node,
                path: self.path.iter().cloned().chain([Segment::Index(index)]).collect(),
                unknown: self.unknown,
            })
            .collect();
        readers.reverse();
        visitor.visit_seq(Items { items: readers }).map_err(|fault| fault.at(&self.path))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.entries(visitor, None)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.entries(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::String(text) => visitor
                .visit_enum(StrDeserializer::new(text.trim()))
                .map_err(|fault: Fault| fault.at(&self.path)),
            _ => self.wrong(format_args!("one of `{}`", variants.join("`, `"))),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

fn split_commas(text: &str) -> Vec<Node> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(|item| Node::new(Value::Text(item.to_owned())))
        .collect()
}

/// The entries still to be read, last first.
struct Entries<'a> {
    entries: Vec<(&'a str, Reader<'a>)>,
    value: Option<Reader<'a>>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, reader)) = self.entries.pop() else { return Ok(None) };
        let node = Node::new(Value::Text(key.to_owned()));
        let path = reader.path.clone();
        let key = Reader { node: &node, path, unknown: reader.unknown };
        let key = seed.deserialize(key).map_err(|fault| fault.at(&reader.path))?;
        self.value = Some(reader);
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(reader) = self.value.take() else {
            return Err(Fault::new("a value was asked for before its key"));
        };
        let path = reader.path.clone();
        seed.deserialize(reader).map_err(|fault| fault.at(&path))
    }
}

/// The items still to be read, last first.
struct Items<'a> {
    items: Vec<Reader<'a>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(reader) = self.items.pop() else { return Ok(None) };
        let path = reader.path.clone();
        seed.deserialize(reader).map(Some).map_err(|fault| fault.at(&path))
    }
}
