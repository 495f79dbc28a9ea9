//! Keys from a JSON body: one pass that borrows, and ends when nothing better can follow.
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{InvalidKeySource, RoutingKey, head::first};

/// How many fields can be looked for: one bit each.
pub(super) const MAX_FIELDS: usize = 32;

/// Fields to look for, the most wanted first, each by its path of names.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    paths: Box<[Vec<String>]>,
    all: Set,
}

/// A set of [`Fields`], by their index.
type Set = u32;

impl Fields {
    pub(super) fn new(
        paths: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<Self, InvalidKeySource> {
        let paths: Box<[_]> = paths.into_iter().collect();
        if paths.len() > MAX_FIELDS {
            return Err(InvalidKeySource::TooManyFields(paths.len()));
        }
        match paths.iter().find(|path| path.is_empty() || path.iter().any(String::is_empty)) {
            Some(bad) => Err(InvalidKeySource::Name(format!("body:{}", bad.join(".")))),
            None => {
                let all = (0..paths.len()).fold(0, |all, field| all | 1 << field);
                Ok(Self { paths, all })
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The most wanted field that is there with a key in it, and that key: a slice of `body` unless it was escaped.
    pub(super) fn find(&self, body: &Bytes) -> Option<(usize, RoutingKey)> {
        let mut search = Search { paths: &self.paths, settled: 0, best: None };
        let mut json = serde_json::Deserializer::from_slice(body);
        // An error is a mistake in the body or the early end of the search: either way what was found counts.
        let _ = search.value(0, self.all, 0).deserialize(&mut json);
        search.best.map(|(field, found)| {
            let key = match found {
                Found::InBody(key) => body.slice_ref(key),
                Found::Unescaped(key) => key,
            };
            (field, RoutingKey(key))
        })
    }
}

struct Search<'p, 'b> {
    paths: &'p [Vec<String>],
    /// Fields that were met, with a key in them or not.
    settled: Set,
    best: Option<(usize, Found<'b>)>,
}

enum Found<'b> {
    InBody(&'b [u8]),
    Unescaped(Bytes),
}

impl<'p, 'b> Search<'p, 'b> {
    fn value<'s>(&'s mut self, depth: usize, through: Set, here: Set) -> Value<'s, 'p, 'b> {
        Value { search: self, depth, through, here }
    }

    /// Whether all fields that are wanted more than the best one were met.
    fn is_over(&self) -> bool {
        self.best.as_ref().is_some_and(|(field, _)| self.settled.trailing_ones() as usize >= *field)
    }

    /// Of the fields in `candidates`, those whose path has `name` at `depth`: that end there, and that go on.
    fn matching(&self, candidates: Set, depth: usize, name: &str) -> (Set, Set) {
        let (mut here, mut through) = (0, 0);
        let mut left = candidates & !self.settled;
        while left != 0 {
            let field = left.trailing_zeros();
            left &= left - 1;
            let path = &self.paths[field as usize];
            if path[depth] == name {
                *(if path.len() == depth + 1 { &mut here } else { &mut through }) |= 1 << field;
            }
        }
        (here, through)
    }

    /// Notes what the fields in `here` hold, `None` if no key.
    fn settle(&mut self, here: Set, found: Option<Found<'b>>) {
        self.settled |= here;
        let field = here.trailing_zeros() as usize;
        if let Some(found) = found
            && here != 0
            && self.best.as_ref().is_none_or(|(best, _)| field < *best)
        {
            self.best = Some((field, found));
        }
    }
}

/// A value in which the paths of `through` go on, and at which those of `here` end.
struct Value<'s, 'p, 'b> {
    search: &'s mut Search<'p, 'b>,
    depth: usize,
    through: Set,
    here: Set,
}

impl<'b> DeserializeSeed<'b> for Value<'_, '_, 'b> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Value<'_, '_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { search, depth, through, here } = self;
        search.settle(here, None);
        loop {
            let name = Name { search, depth, candidates: through };
            let Some((here, through)) = object.next_key_seed(name)? else { return Ok(()) };
            if here | through == 0 {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            object.next_value_seed(search.value(depth + 1, through, here))?;
            if search.is_over() {
                // The deserializer will miss the end of the object: that is how the pass ends early.
                return Ok(());
            }
        }
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut array: A) -> Result<(), A::Error> {
        let mut found = None;
        while self.here != 0 && found.is_none() {
            match array.next_element_seed(Element)? {
                Some(element) => found = element,
                None => break,
            }
        }
        self.search.settle(self.here, found);
        if !self.search.is_over() {
            while array.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'b str) -> Result<(), E> {
        self.search.settle(self.here, first(text.as_bytes()).map(Found::InBody));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let key = first(text.as_bytes()).map(Bytes::copy_from_slice);
        self.search.settle(self.here, key.map(Found::Unescaped));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.nothing();
        Ok(())
    }
}

impl Value<'_, '_, '_> {
    /// A value that holds no key.
    fn nothing(self) {
        self.search.settle(self.here, None);
    }
}

/// A field's name: answers which of the candidates end there, and which go on.
struct Name<'s, 'p, 'b> {
    search: &'s Search<'p, 'b>,
    depth: usize,
    candidates: Set,
}

impl<'b> DeserializeSeed<'b> for Name<'_, '_, '_> {
    type Value = (Set, Set);

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_, '_> {
    type Value = (Set, Set);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.search.matching(self.candidates, self.depth, name))
    }
}

/// An element of an array: the key in it if it is a string that is not blank.
struct Element;

impl<'b> DeserializeSeed<'b> for Element {
    type Value = Option<Found<'b>>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Element {
    type Value = Option<Found<'b>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'b str) -> Result<Self::Value, E> {
        let text = text.as_bytes().trim_ascii();
        Ok((!text.is_empty()).then_some(Found::InBody(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let text = text.as_bytes().trim_ascii();
        Ok((!text.is_empty()).then(|| Found::Unescaped(Bytes::copy_from_slice(text))))
    }

    fn visit_map<A: MapAccess<'b>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
