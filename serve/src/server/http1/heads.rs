//! Heads of requests, most of which say the same as the one before them on the connection.
//!
//! A client sends the same fields in the same order again and again, most with the same values. So each line is first
//! compared with the line that stood in its place last time: one that is equal means the same, and one with the same
//! name has its value read. Anything else, and everything that is wrong, is left to the framing guard's strict
//! reading, which alone refuses. For the usual request that is a third of the instructions.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use memchr::memchr;

use super::options::Options;
use crate::framing::{
    FramingLimits, Violation, classes,
    head::{Framing, Head, Meaning},
};

/// Lines that are remembered, and how long they may be.
const MAX_LINES: usize = 24;
const MAX_LINE: usize = 256;
/// How often a line must differ from what is remembered before it is remembered instead, since remembering costs more
/// than reading.
const PATIENCE: u8 = 8;

/// A head that has arrived whole.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) request: Request<()>,
    pub(super) framing: Framing,
    pub(super) options: Options,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// Reads the heads of one connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// What the strict reading knows of a head that is not whole yet.
    head: Head,
    first: Option<First>,
    lines: Vec<Line>,
    /// Heads in a row whose fields were others.
    strange: u8,
}

/// A request line, its end included.
#[derive(Debug)]
struct First {
    text: Box<[u8]>,
    method: Method,
    uri: Uri,
    is_old: bool,
}

/// A field's line, its end included.
#[derive(Debug)]
struct Line {
    text: Box<[u8]>,
    /// How much of it is before the value.
    before_value: usize,
    name: HeaderName,
    value: HeaderValue,
    meaning: Meaning,
    options: Options,
    /// How often in a row the value was another.
    misses: u8,
}

impl Heads {
    /// Whether a head has begun, which the client now owes the rest of.
    pub(super) fn begun(&self) -> bool {
        self.head.begun()
    }

    /// Reads on in `bytes`, which begin where the head does; `None` if it is not whole. `map` is an empty map whose
    /// room is used.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &FramingLimits,
        mut map: HeaderMap,
    ) -> Result<Option<Arrived>, Violation> {
        if self.head.is_fresh()
            && let Some(arrived) = self.recall(bytes, limits, &mut map)
        {
            self.strange = 0;
            return Ok(Some(arrived));
        }
        let Some((length, framing)) = self.head.advance(bytes, limits)? else { return Ok(None) };
        self.head = Head::default();
        map.clear();
        self.build(&bytes[..length], framing, limits, map).map(Some)
    }

    /// Reads a head by what is remembered; `None` if that does not do.
    fn recall(
        &mut self,
        bytes: &[u8],
        limits: &FramingLimits,
        map: &mut HeaderMap,
    ) -> Option<Arrived> {
        let known = self.first.as_ref()?;
        if !bytes.starts_with(&known.text) {
            let end = memchr(b'\n', &bytes[..bytes.len().min(MAX_LINE)])? + 1;
            self.first = Some(First::read(&bytes[..end], limits)?);
        }
        let first = self.first.as_ref()?;
        let mut head = Head::after_request_line(first.is_old);
        let mut options = Options::default();
        let mut at = first.text.len();
        for line in &mut self.lines {
            let rest = &bytes[at..];
            // One that is not there this time is passed over.
            at += line.read(rest, &mut head, &mut options, limits, map).unwrap_or(0);
        }
        let length = at + 2;
        if !bytes[at..].starts_with(b"\r\n") || length > limits.head_bytes {
            return None;
        }
        let framing = head.finish().ok()?;
        let request = first.request(std::mem::take(map));
        Some(Arrived { request, framing, options, length })
    }

    /// Makes a request of a head that the strict reading let pass.
    #[cold]
    fn build(
        &mut self,
        head: &[u8],
        framing: Framing,
        limits: &FramingLimits,
        mut map: HeaderMap,
    ) -> Result<Arrived, Violation> {
        self.strange = self.strange.saturating_add(1);
        let mut learns = self.lines.is_empty() || self.strange >= PATIENCE;
        if learns {
            self.strange = 0;
            self.lines.clear();
        }
        let shared = Bytes::copy_from_slice(head);
        let mut options = Options::default();
        let start = if head.starts_with(b"\r\n") { 2 } else { 0 };
        let (line, mut rest) = split_line(&shared[start..]);
        let first = First::read(line, limits).ok_or(Violation::RequestLine)?;
        loop {
            let line;
            (line, rest) = split_line(rest);
            if line.len() <= 2 {
                break;
            }
            let field = Line::parse(line)?;
            options |= field.options;
            let value = shared.slice_ref(classes::trim(&line[field.before_value..line.len() - 2]));
            let value =
                HeaderValue::from_maybe_shared(value).map_err(|_| Violation::ControlCharacter)?;
            map.try_append(field.name.clone(), value).map_err(|_| Violation::HeadTooLarge)?;
            learns = learns && self.lines.len() < MAX_LINES && line.len() <= MAX_LINE;
            if learns {
                self.lines.push(field);
            }
        }
        let request = first.request(map);
        if first.text.len() <= MAX_LINE {
            self.first = Some(first);
        }
        Ok(Arrived { request, framing, options, length: head.len() })
    }
}

/// The first line, its end included, and what follows. There is one.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1))
}

impl First {
    /// Reads a line; `None` if anything is wrong with it.
    fn read(text: &[u8], limits: &FramingLimits) -> Option<Self> {
        let line = text.strip_suffix(b"\r\n")?;
        let mut head = Head::default();
        head.request_line(line, limits).ok()?;
        let method = memchr(b' ', line)?;
        // Both HTTP/1.0 and HTTP/1.1 are that long, with the blank before them.
        let target = line.get(method + 1..line.len() - 9)?;
        Some(Self {
            method: Method::from_bytes(&line[..method]).ok()?,
            uri: Uri::from_maybe_shared(Bytes::copy_from_slice(target)).ok()?,
            is_old: line.ends_with(b"0"),
            text: text.into(),
        })
    }

    fn request(&self, fields: HeaderMap) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = if self.is_old { Version::HTTP_10 } else { Version::HTTP_11 };
        *request.headers_mut() = fields;
        request
    }
}

impl Line {
    /// Reads a line, its end included, that the strict reading let pass.
    fn parse(text: &[u8]) -> Result<Self, Violation> {
        let colon = memchr(b':', text).ok_or(Violation::FieldName)?;
        let name = HeaderName::from_bytes(&text[..colon]).map_err(|_| Violation::FieldName)?;
        let after = &text[colon + 1..];
        let blanks = after.iter().position(|b| !b" \t".contains(b)).unwrap_or(0);
        let bytes = classes::trim(&after[..after.len() - 2]);
        let value = HeaderValue::from_bytes(bytes).map_err(|_| Violation::ControlCharacter)?;
        let meaning = if name == header::HOST {
            Meaning::Host
        } else if name == header::TRANSFER_ENCODING {
            Meaning::Chunked
        } else if name == header::CONTENT_LENGTH {
            let digits = value.to_str().ok().and_then(|digits| digits.parse().ok());
            Meaning::Length(digits.ok_or(Violation::ContentLength)?)
        } else {
            Meaning::None
        };
        Ok(Self {
            before_value: colon + 1 + blanks,
            options: Options::of(&name, bytes),
            text: text.into(),
            name,
            value,
            meaning,
            misses: 0,
        })
    }

    /// Reads the line at the front of `rest`, if it is this one or has the same name. Answers its length.
    fn read(
        &mut self,
        rest: &[u8],
        head: &mut Head,
        options: &mut Options,
        limits: &FramingLimits,
        map: &mut HeaderMap,
    ) -> Option<usize> {
        if rest.starts_with(&self.text) {
            self.misses = 0;
            head.note(self.meaning);
            *options |= self.options;
            map.try_append(self.name.clone(), self.value.clone()).ok()?;
            return Some(self.text.len());
        }
        if !rest.starts_with(&self.text[..self.before_value]) {
            return None;
        }
        let length = memchr(b'\n', rest)? + 1;
        let line = rest[..length].strip_suffix(b"\r\n")?;
        let bytes = classes::trim(&line[self.before_value..]);
        // Refuses control characters, so that what is noted below is of a good line.
        let value = HeaderValue::from_bytes(bytes).ok()?;
        let meaning = head.field(line, limits).ok()?;
        let own = Options::of(&self.name, bytes);
        *options |= own;
        self.misses += 1;
        if self.misses >= PATIENCE && length <= MAX_LINE {
            self.text = rest[..length].into();
            (self.value, self.meaning, self.options) = (value.clone(), meaning, own);
            self.misses = 0;
        }
        map.try_append(self.name.clone(), value).ok()?;
        Some(length)
    }
}
