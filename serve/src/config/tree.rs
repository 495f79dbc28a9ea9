//! A configuration as a tree of values, whatever it was written in, with the environment laid
//! over it.

use std::{collections::BTreeMap, fmt, rc::Rc};

use config::{FileFormat, Source, ValueKind};

use super::{Format, Mistake, Mistakes, ini};

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// The environment variable that set it, if one did.
    pub(super) variable: Option<Rc<str>>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Text without a type: from INI or the environment. Read as whatever the key wants.
    Text(String),
    String(String),
    Bool(bool),
    Int(i128),
    Float(f64),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// Refused earlier; reads as absent.
    Gone,
}

impl Node {
    pub(super) fn new(value: Value) -> Self {
        Self { value, variable: None }
    }

    pub(super) fn empty() -> Self {
        Self::new(Value::Table(BTreeMap::new()))
    }

    /// Reads `text`; the error says where it goes wrong.
    pub(super) fn parse(text: &str, format: Format) -> Result<Self, String> {
        let (kind, typed) = match format {
            Format::Toml => (FileFormat::Toml, true),
            Format::Ini => (FileFormat::Ini, false),
        };
        if format == Format::Ini {
            ini::check(text)?;
        }
        let table = config::File::from_str(text, kind).collect().map_err(|e| one_line(&e))?;
        let mut root = Self::empty();
        for (key, value) in table {
            let node = from_config(value.kind, typed);
            let path: Vec<&str> = if typed { vec![&key] } else { key.split('.').collect() };
            root.insert(&path, node).map_err(|taken| format!("`{taken}` is set twice"))?;
        }
        Ok(root)
    }

    /// Sets what each variable names, typeless.
    pub(super) fn overlay(&mut self, env: &super::Env, mistakes: &mut Mistakes) {
        for (variable, value) in env.overrides() {
            let name = variable[super::Env::PREFIX.len()..].to_ascii_lowercase();
            let path: Vec<&str> = name.split("__").collect();
            let dotted = path.join(".");
            if path.iter().any(|segment| segment.is_empty()) {
                let text = format!("environment variable {variable} names no key");
                mistakes.push(Mistake::sentence(dotted, text));
                continue;
            }
            let mut node = Self::new(Value::Text(value.to_owned()));
            node.variable = Some(variable.into());
            if let Err(taken) = self.insert(&path, node) {
                let text = format!(
                    "environment variable {variable} sets `{dotted}`, but `{taken}` is no table"
                );
                mistakes.push(Mistake::sentence(dotted, text));
            }
        }
    }

    /// Puts `node` at `path`, making tables on the way; a table merges into a table. The error
    /// is the part of the path where something else stands in the way.
    fn insert(&mut self, path: &[&str], node: Self) -> Result<(), String> {
        let mut here = self;
        for (depth, segment) in path.iter().enumerate() {
            let Value::Table(table) = &mut here.value else { return Err(path[..depth].join(".")) };
            let slot = table.entry((*segment).to_owned()).or_insert_with(Self::empty);
            if depth + 1 == path.len() {
                return slot.put(node).map_err(|()| path.join("."));
            }
            // A whole section is told of by the first variable that named it.
            if slot.variable.is_none() && matches!(&slot.value, Value::Table(t) if t.is_empty()) {
                slot.variable.clone_from(&node.variable);
            }
            here = slot;
        }
        Ok(())
    }

    fn put(&mut self, node: Self) -> Result<(), ()> {
        match (&mut self.value, node.value) {
            (Value::Table(old), Value::Table(new)) => {
                old.extend(new);
                Ok(())
            }
            (Value::Table(old), _) if !old.is_empty() => Err(()),
            (_, value) => {
                *self = Self { value, variable: node.variable };
                Ok(())
            }
        }
    }

    /// The node at `path`.
    pub(super) fn at(&mut self, path: &[Segment]) -> Option<&mut Self> {
        let mut here = self;
        for segment in path {
            here = match (&mut here.value, segment) {
                (Value::Table(table), Segment::Key(key)) => table.get_mut(key)?,
                (Value::Array(items), Segment::Index(index)) => items.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(here)
    }
}

fn from_config(kind: ValueKind, typed: bool) -> Node {
    Node::new(match kind {
        ValueKind::Nil => Value::Gone,
        ValueKind::Boolean(b) => Value::Bool(b),
        ValueKind::I64(n) => Value::Int(n.into()),
        ValueKind::U64(n) => Value::Int(n.into()),
        ValueKind::I128(n) => Value::Int(n),
        ValueKind::U128(n) => {
            i128::try_from(n).map_or_else(|_| Value::String(n.to_string()), Value::Int)
        }
        ValueKind::Float(x) => Value::Float(x),
        ValueKind::String(text) if typed => Value::String(text),
        ValueKind::String(text) => Value::Text(text),
        ValueKind::Array(items) => {
            Value::Array(items.into_iter().map(|item| from_config(item.kind, typed)).collect())
        }
        ValueKind::Table(table) => Value::Table(
            table.into_iter().map(|(key, value)| (key, from_config(value.kind, typed))).collect(),
        ),
    })
}

/// The message of a parser without its drawing of the source line.
fn one_line(error: &config::ConfigError) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty()
                && !line.trim_start_matches(char::is_numeric).trim_start().starts_with('|')
        })
        .collect();
    lines.join(": ")
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// A key, written as a reader of the file would: `routes.snapshot`, `nodes[2]`.
pub(super) struct Dotted<'a>(pub(super) &'a [Segment]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if i == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
