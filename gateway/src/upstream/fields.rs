//! Reading the fields of an answer, most of which are those of the answer before.
//!
//! A node says nearly the same in every head: the same fields in the same order, most with the same values. So each line is
//! first compared with the line that stood in its place last time; one that is equal means the same again, and one
//! that begins with the same name has another value. Only what is left is parsed. For an answer with five fields that is a
//! third of the instructions. A whole head that is equal to the one before it is met by one comparison, and its end need
//! not be looked for.
//!
//! The length and `Transfer-Encoding` are not among the fields that are passed on: the body knows its length.
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::error::BadResponse;

/// Most fields in a head.
pub(super) const MAX_FIELDS: usize = 100;
/// Lines and status lines that are remembered, and how long they may be.
const MAX_LINES: usize = 24;
const MAX_STATUS_LINES: usize = 4;
const MAX_LINE: usize = 256;
/// How often a line must differ from what is remembered before it is remembered instead. Remembering costs more than
/// parsing, so it should pay.
const PATIENCE: u8 = 8;

/// What a head says about the message it belongs to, besides its status.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
}

/// The meaning of a field for the transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    None,
    Length(u64),
    Chunked,
    Close,
}

impl Meaning {
    fn of(name: &HeaderName, value: &[u8]) -> Result<Self, BadResponse> {
        if *name == CONTENT_LENGTH {
            return length(value).map(Self::Length);
        }
        if *name == TRANSFER_ENCODING {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked");
            return if is_chunked { Ok(Self::Chunked) } else { Err(BadResponse::TransferEncoding) };
        }
        if *name == CONNECTION {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            if options.any(|option| option.eq_ignore_ascii_case(b"close")) {
                return Ok(Self::Close);
            }
        }
        Ok(Self::None)
    }

    /// Whether the field is for those further on, too: not where the body tells them the same.
    fn is_passed_on(self) -> bool {
        matches!(self, Self::None | Self::Close)
    }
}

/// A length in digits and nothing else.
fn length(value: &[u8]) -> Result<u64, BadResponse> {
    let text = std::str::from_utf8(value).map_err(|_| BadResponse::ContentLength)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadResponse::ContentLength);
    }
    text.parse().map_err(|_| BadResponse::ContentLength)
}

impl Said {
    /// Notes a field. Answers whether it is for those further on, too.
    fn note(&mut self, meaning: Meaning) -> Result<bool, BadResponse> {
        match meaning {
            Meaning::None => {}
            Meaning::Length(_) if self.length.is_some() => return Err(BadResponse::ContentLength),
            Meaning::Length(length) => self.length = Some(length),
            Meaning::Chunked if self.chunked => return Err(BadResponse::TransferEncoding),
            Meaning::Chunked => self.chunked = true,
            Meaning::Close => self.close = true,
        }
        Ok(meaning.is_passed_on())
    }
}

/// The head of the last answers of a node.
#[derive(Debug, Default)]
pub(super) struct Memo {
    status_lines: Vec<(Box<[u8]>, StatusCode)>,
    lines: Vec<Line>,
    /// The last head that was nothing but `lines`.
    whole: Option<Whole>,
    /// Heads in a row whose fields were others.
    strange: u8,
}

/// A whole head, its empty line included, that says what the lines say which are remembered.
#[derive(Debug)]
struct Whole {
    text: Vec<u8>,
    status: StatusCode,
    said: Said,
}

/// One line, field and all.
#[derive(Debug)]
struct Line {
    /// From the name to the line break.
    text: Box<[u8]>,
    /// How much of it is before the value.
    before_value: usize,
    name: HeaderName,
    value: HeaderValue,
    meaning: Meaning,
    /// How often in a row the value was another.
    misses: u8,
}

impl Memo {
    /// The status at the front of an HTTP/1.1 head, and where its fields begin, if it was seen before.
    pub(super) fn status(&self, head: &[u8]) -> Option<(StatusCode, usize)> {
        let known = self.status_lines.iter().find(|(line, _)| head.starts_with(line));
        known.map(|(line, status)| (*status, line.len()))
    }

    /// Remembers a status line.
    pub(super) fn learn_status(&mut self, head: &[u8], status: StatusCode) {
        let Some(end) = memchr::memchr(b'\n', &head[..head.len().min(MAX_LINE)]) else { return };
        if self.status_lines.len() < MAX_STATUS_LINES {
            self.status_lines.push((head[..=end].into(), status));
        }
    }

    /// Reads the HTTP/1.1 head at the front of `input` into `map`, if it is the one before it once more, byte for byte.
    /// Answers its length, the status and what it says.
    pub(super) fn same(
        &self,
        input: &[u8],
        map: &mut HeaderMap,
    ) -> Option<(usize, StatusCode, Said)> {
        let whole = self.whole.as_ref().filter(|whole| input.starts_with(&whole.text))?;
        map.clear();
        for line in self.lines.iter().filter(|line| line.meaning.is_passed_on()) {
            map.append(line.name.clone(), line.value.clone());
        }
        Some((whole.text.len(), whole.status, whole.said))
    }

    /// Reads the fields of `head`, from `start` to the empty line at its end, into `map`, but for those about transfer.
    pub(super) fn read(
        &mut self,
        head: &Bytes,
        start: usize,
        map: &mut HeaderMap,
    ) -> Result<Said, BadResponse> {
        self.whole = None;
        let mut said = Said::default();
        let mut at = start;
        let end = head.len() - 2;
        let mut are_same = true;
        for (known, line) in self.lines.iter_mut().enumerate() {
            if at == end {
                are_same = false;
                break;
            }
            match line.read(head, at, map, &mut said)? {
                Some(length) => {
                    // What is no miss was there before, or has just been learnt.
                    are_same &= line.misses == 0 && line.text.len() == length;
                    at += length;
                }
                None => return self.parse(head, at, known, map, said),
            }
        }
        if at == end {
            self.strange = 0;
            if are_same && let Some((status, _)) = self.status(head) {
                self.whole = Some(Whole { text: head.to_vec(), status, said });
            }
            return Ok(said);
        }
        self.parse(head, at, self.lines.len(), map, said)
    }

    /// Parses the fields of `head` from `at` on, before which there were `known` others.
    #[cold]
    fn parse(
        &mut self,
        head: &Bytes,
        at: usize,
        known: usize,
        map: &mut HeaderMap,
        mut said: Said,
    ) -> Result<Said, BadResponse> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let too_many = BadResponse::TooManyFields(MAX_FIELDS);
        let parsed =
            httparse::parse_headers(&head[at..], &mut fields).map_err(|error| match error {
                httparse::Error::TooManyHeaders => too_many,
                _ => BadResponse::Head,
            })?;
        // Another end than ours: some line ended in LF alone.
        let httparse::Status::Complete((length, fields)) = parsed else {
            return Err(BadResponse::Head);
        };
        if at + length != head.len() {
            return Err(BadResponse::Head);
        }
        if known + fields.len() > MAX_FIELDS {
            return Err(too_many);
        }
        self.strange = self.strange.saturating_add(1);
        let learns = self.lines.is_empty() || self.strange >= PATIENCE;
        if learns {
            self.strange = 0;
            self.lines.truncate(known);
        }
        let mut learns = learns;
        for field in fields {
            let name =
                HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadResponse::Head)?;
            let meaning = Meaning::of(&name, field.value)?;
            if learns {
                // Only lines that stand in a row are of use.
                learns = self.learn(head, field, &name, meaning);
            }
            if said.note(meaning)? {
                let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
                    .map_err(|_| BadResponse::Head)?;
                map.append(name, value);
            }
        }
        Ok(said)
    }

    /// Remembers a field as the next line. Answers whether it could be.
    fn learn(
        &mut self,
        head: &Bytes,
        field: &httparse::Header<'_>,
        name: &HeaderName,
        meaning: Meaning,
    ) -> bool {
        // An empty value may stand anywhere.
        if field.value.is_empty() {
            return false;
        }
        let offset = |part: &[u8]| part.as_ptr() as usize - head.as_ptr() as usize;
        let (start, value) = (offset(field.name.as_bytes()), offset(field.value));
        // Nothing else can stand between the value and the line break than what would have to be trimmed.
        let is_plain = head[value + field.value.len()..].starts_with(b"\r\n");
        let line = start..value + field.value.len() + 2;
        if self.lines.len() >= MAX_LINES || line.len() > MAX_LINE || !is_plain {
            return false;
        }
        // A copy, so that the buffer that the head is in can be used again.
        let Ok(copy) = HeaderValue::from_bytes(field.value) else { return false };
        self.lines.push(Line {
            text: head[line].into(),
            before_value: value - start,
            name: name.clone(),
            value: copy,
            meaning,
            misses: 0,
        });
        true
    }
}

impl Line {
    /// Reads the line at `at`, if it is this one or has the same name. Answers its length.
    fn read(
        &mut self,
        head: &Bytes,
        at: usize,
        map: &mut HeaderMap,
        said: &mut Said,
    ) -> Result<Option<usize>, BadResponse> {
        let rest = &head[at..];
        if rest.starts_with(&self.text) {
            self.misses = 0;
            if said.note(self.meaning)? {
                map.append(self.name.clone(), self.value.clone());
            }
            return Ok(Some(self.text.len()));
        }
        if !rest.starts_with(&self.text[..self.before_value]) {
            return Ok(None);
        }
        let value = &rest[self.before_value..];
        let Some(end) = memchr::memchr(b'\n', value).filter(|end| value[..*end].ends_with(b"\r"))
        else {
            return Ok(None);
        };
        let value = &value[..end - 1];
        // What would have to be trimmed is left to the parser.
        if value.trim_ascii().len() != value.len() {
            return Ok(None);
        }
        let meaning = Meaning::of(&self.name, value)?;
        let shared = head.slice(at + self.before_value..at + self.before_value + value.len());
        let shared = HeaderValue::from_maybe_shared(shared).map_err(|_| BadResponse::Head)?;
        self.misses += 1;
        let length = self.before_value + value.len() + 2;
        if self.misses >= PATIENCE && length <= MAX_LINE {
            if let Ok(copy) = HeaderValue::from_bytes(value) {
                self.value = copy;
                self.text = rest[..length].into();
                self.meaning = meaning;
            }
            self.misses = 0;
        }
        if said.note(meaning)? {
            map.append(self.name.clone(), shared);
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &str = "HTTP/1.1 200 OK\r\n";

    fn read(memo: &mut Memo, fields: &str) -> Result<(Vec<(String, String)>, String), BadResponse> {
        let head = Bytes::from(format!("{START}{fields}\r\n"));
        let mut map = HeaderMap::new();
        if memo.status(&head).is_none() {
            memo.learn_status(&head, StatusCode::OK);
        }
        let said = match memo.same(&head, &mut map) {
            Some((length, status, said)) => {
                assert_eq!((length, status), (head.len(), StatusCode::OK));
                said
            }
            None => memo.read(&head, START.len(), &mut map)?,
        };
        let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let fields = map.iter().map(|(n, v)| (n.to_string(), value(v))).collect();
        Ok((fields, format!("{said:?}")))
    }

    #[test]
    fn a_line_that_stays_is_learnt_and_one_that_changes_is_learnt_again() {
        let mut memo = Memo::default();
        read(&mut memo, "a: 1\r\nB: x\r\n").unwrap();
        assert_eq!(memo.lines.len(), 2);
        for _ in 0..PATIENCE {
            assert_eq!(memo.lines[0].value, "1");
            read(&mut memo, "a: 2\r\nB: x\r\n").unwrap();
        }
        assert_eq!(memo.lines[0].value, "2");
        assert!(memo.whole.is_some(), "all of its lines are known");
        for _ in 0..PATIENCE {
            assert_eq!(memo.lines[1].name, "b");
            read(&mut memo, "a: 2\r\nc: x\r\n").unwrap();
        }
        assert_eq!(memo.lines[1].name, "c");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memo = Memo::default();
        let long = format!("long: {}\r\n", "x".repeat(MAX_LINE));
        let many: String = (0..90).map(|n| format!("f{n}: x\r\n")).collect();
        for fields in [format!("a: b\r\n{long}{many}"), many, long] {
            (0..PATIENCE).for_each(|_| drop(read(&mut memo, &fields).unwrap()));
            assert!(memo.lines.len() <= MAX_LINES);
        }
        assert!(memo.lines.iter().all(|line| line.text.len() <= MAX_LINE));
        for status in 200..300 {
            memo.learn_status(
                format!("HTTP/1.1 {status} X\r\n").as_bytes(),
                StatusCode::from_u16(status).unwrap(),
            );
        }
        assert_eq!(memo.status_lines.len(), MAX_STATUS_LINES);
    }

    fn any_fields() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "a",
            "A",
            "date",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "a b",
            "x-long-name",
        ]);
        let value = prop::sample::select(vec![
            "1",
            "2",
            "",
            "chunked",
            "close, x",
            "keep-alive",
            "x y",
            "\t1",
            "1 ",
            "\u{e9}",
            "\0",
            "1\r2",
            "+1",
        ]);
        let colon = prop::sample::select(vec![": ", ":", ":  ", " :"]);
        let end = prop::sample::select(vec![
            "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", " \r\n",
        ]);
        let line = (name, colon, value, end).prop_map(|(n, c, v, e)| format!("{n}{c}{v}{e}"));
        prop::collection::vec(line, 0..4).prop_map(|lines| lines.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_memo_changes_nothing_but_the_way(
            heads in prop::collection::vec(any_fields(), 1..4),
            turns in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        ) {
            let mut memo = Memo::default();
            for turn in turns {
                let fields = turn.get(&heads);
                // Of several mistakes in one head, another may be met first.
                let alone = read(&mut Memo::default(), fields);
                prop_assert_eq!(read(&mut memo, fields).ok(), alone.ok());
            }
        }
    }
}
