//! Keys from a JSON body: one pass over its bytes that ends when nothing better can follow.
//!
//! This is no JSON parser: it finds its way through good JSON and gives up where it meets something else, since it is the
//! next server that judges the body. Strings are stepped over without being decoded, so that the pass costs about an
//! instruction a byte; only names and keys with escapes in them are decoded, by `serde_json`.
use std::borrow::Cow;

use bytes::Bytes;
use memchr::{memchr2, memchr3};

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
        let mut text = Text { rest: body };
        // `None` is the early end of the search or something that is not JSON: either way what was found counts.
        let _ = text.enter(b'{').and_then(|()| search.object(&mut text, 0, self.all));
        search.best.map(|(field, found)| {
            let key = match found {
                Cow::Borrowed(key) => body.slice_ref(key),
                Cow::Owned(key) => Bytes::from(key),
            };
            (field, RoutingKey(key))
        })
    }
}

struct Search<'p, 'b> {
    paths: &'p [Vec<String>],
    /// Fields that were met, with a key in them or not.
    settled: Set,
    best: Option<(usize, Cow<'b, [u8]>)>,
}

impl<'b> Search<'_, 'b> {
    /// Goes through an object, whose brace is behind us, in which the paths of `candidates` go on at `depth`.
    fn object(&mut self, text: &mut Text<'b>, depth: usize, candidates: Set) -> Option<()> {
        if text.leave(b'}') {
            return Some(());
        }
        loop {
            let (name, is_escaped) = text.string()?;
            text.enter(b':')?;
            let name = if is_escaped { &unescape(name)? } else { name };
            let (here, through) = self.matching(candidates, depth, name);
            self.value(text, depth, here, through)?;
            if here | through != 0 && self.is_over() {
                return None;
            }
            if !text.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    /// Goes through a value at which the paths of `here` end and in which those of `through` go on.
    fn value(&mut self, text: &mut Text<'b>, depth: usize, here: Set, through: Set) -> Option<()> {
        if here | through == 0 {
            return text.skip();
        }
        // A field that is there twice counts once.
        self.settled |= here;
        match text.peek()? {
            b'"' if here != 0 => {
                let (list, is_escaped) = text.string()?;
                let key = if is_escaped {
                    first(&unescape(list)?).map(|key| Cow::Owned(key.to_vec()))
                } else {
                    first(list).map(Cow::Borrowed)
                };
                self.offer(here, key);
                Some(())
            }
            b'[' if here != 0 => {
                let key = text.first_string()?;
                self.offer(here, key);
                if self.is_over() { Some(()) } else { text.skip_to_end() }
            }
            b'{' if through != 0 => {
                text.enter(b'{')?;
                self.object(text, depth + 1, through)
            }
            _ => text.skip(),
        }
    }

    /// Of the fields in `candidates`, those whose path has `name` at `depth`: that end there, and that go on.
    fn matching(&self, candidates: Set, depth: usize, name: &[u8]) -> (Set, Set) {
        let (mut here, mut through) = (0, 0);
        let mut left = candidates & !self.settled;
        while left != 0 {
            let field = left.trailing_zeros();
            left &= left - 1;
            let path = &self.paths[field as usize];
            if path[depth].as_bytes() == name {
                *(if path.len() == depth + 1 { &mut here } else { &mut through }) |= 1 << field;
            }
        }
        (here, through)
    }

    fn offer(&mut self, here: Set, key: Option<Cow<'b, [u8]>>) {
        let field = here.trailing_zeros() as usize;
        if let Some(key) = key
            && self.best.as_ref().is_none_or(|(best, _)| field < *best)
        {
            self.best = Some((field, key));
        }
    }

    /// Whether all fields that are wanted more than the best one were met.
    fn is_over(&self) -> bool {
        self.best.as_ref().is_some_and(|(field, _)| self.settled.trailing_ones() as usize >= *field)
    }
}

/// What is left of a JSON text. Methods answer `None` where it is not what it should be.
struct Text<'b> {
    rest: &'b [u8],
}

impl<'b> Text<'b> {
    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        while let [byte, rest @ ..] = self.rest {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.rest = rest;
        }
        None
    }

    /// Steps over `mark`, which must come next.
    fn enter(&mut self, mark: u8) -> Option<()> {
        self.leave(mark).then_some(())
    }

    /// Steps over `mark` if it comes next.
    fn leave(&mut self, mark: u8) -> bool {
        let is_next = self.peek() == Some(mark);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    /// Steps over a comma, or over `end`; whether it was a comma.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        if self.leave(b',') { Some(true) } else { self.enter(end).map(|()| false) }
    }

    /// A string's content as it stands, and whether there are escapes in it.
    fn string(&mut self) -> Option<(&'b [u8], bool)> {
        self.enter(b'"')?;
        let content = self.rest;
        let mut end = memchr2(b'"', b'\\', content)?;
        let is_escaped = content[end] == b'\\';
        while content[end] == b'\\' {
            let after = end + 2;
            end = after + memchr2(b'"', b'\\', content.get(after..)?)?;
        }
        self.rest = &content[end + 1..];
        Some((&content[..end], is_escaped))
    }

    /// Steps over any value.
    fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => {
                self.rest = &self.rest[1..];
                self.skip_to_end()
            }
            _ => {
                let end = memchr3(b',', b'}', b']', self.rest)?;
                self.rest = &self.rest[end..];
                Some(())
            }
        }
    }

    /// Steps over what is left of the innermost object or array, its end included. Counts depth, without recursion.
    fn skip_to_end(&mut self) -> Option<()> {
        let mut depth = 1_usize;
        while depth > 0 {
            let [byte, rest @ ..] = self.rest else { return None };
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.rest = rest;
        }
        Some(())
    }

    /// The first element of an array that is a string and not blank, trimmed. Stops right behind it, or, where there is
    /// none, before the array's end.
    fn first_string(&mut self) -> Option<Option<Cow<'b, [u8]>>> {
        self.enter(b'[')?;
        while self.peek()? != b']' {
            if self.peek()? == b'"' {
                let (element, is_escaped) = self.string()?;
                let element = if is_escaped {
                    Cow::Owned(unescape(element)?.trim_ascii().to_vec())
                } else {
                    Cow::Borrowed(element.trim_ascii())
                };
                if !element.is_empty() {
                    return Some(Some(element));
                }
            } else {
                self.skip()?;
            }
            if !self.leave(b',') && self.peek()? != b']' {
                return None;
            }
        }
        Some(None)
    }
}

/// Decodes a string's content.
#[cold]
fn unescape(content: &[u8]) -> Option<Vec<u8>> {
    let quoted = [b"\"", content, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(String::into_bytes)
}
