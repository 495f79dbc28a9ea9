//! The head of a request, line by line.

use super::{FramingLimits, Violation, classes, field, lines::Lines};

/// Room in a request line for a method, two blanks and a version.
const LINE_BESIDE_TARGET: usize = 64;
/// Longest method.
const METHOD: usize = 32;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// What a field says about the message that it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    None,
    Host,
    Length(u64),
    Chunked,
}

/// What is known of a head so far. Offsets count from its first byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Where the line that is being read begins.
    line: usize,
    /// No line end before here.
    searched: usize,
    fields: usize,
    /// Whether anything but an empty line was seen.
    begun: bool,
    request_line: bool,
    old_version: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Head {
    /// Whether a request has begun, in which the client now owes the rest.
    pub(crate) fn begun(&self) -> bool {
        self.begun
    }

    /// Whether nothing of it was looked at yet.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.begun && self.line == 0
    }

    /// Behind a request line that was read before.
    pub(crate) fn after_request_line(old_version: bool) -> Self {
        Self { request_line: true, begun: true, old_version, ..Self::default() }
    }

    /// Reads on in `bytes`, which begin where the head does. Gives its length and the framing of
    /// the body once it is whole.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        limits: &FramingLimits,
    ) -> Result<Option<(usize, Framing)>, Violation> {
        if !self.begun && !self.begin(bytes)? {
            return Ok(None);
        }
        let mut lines = Lines::new(bytes, self.searched);
        loop {
            let Some(end) = self.line_end(bytes, &mut lines, limits)? else { return Ok(None) };
            let line = &bytes[self.line..end];
            self.line = end + 2;
            self.searched = end + 2;
            lines.skip_to(end + 2);
            if !self.request_line {
                self.request_line(line, limits)?;
            } else if line.is_empty() {
                return Ok(Some((end + 2, self.finish()?)));
            } else {
                self.field(line, limits)?;
            }
        }
    }

    /// Where the line ends: at its first control character, which must be a carriage return with
    /// a line feed after it. One search finds the end and whatever must not be there.
    fn line_end(
        &mut self,
        bytes: &[u8],
        lines: &mut Lines<'_>,
        limits: &FramingLimits,
    ) -> Result<Option<usize>, Violation> {
        let Some(end) = lines.control() else {
            self.searched = bytes.len();
            self.fits(bytes.len(), limits)?;
            return Ok(None);
        };
        self.searched = end;
        self.fits(end + 1, limits)?;
        match (bytes[end], bytes.get(end + 1)) {
            (b'\r', Some(b'\n')) => Ok(Some(end)),
            (b'\r', None) => Ok(None),
            (b'\n', _) => Err(Violation::BareLineFeed),
            _ => Err(Violation::ControlCharacter),
        }
    }

    /// Skips one empty line, which old clients send after a body, and looks at the first byte: one
    /// that can't begin a method (a TLS greeting, say) is refused without waiting for a line.
    fn begin(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        if let (0, Some(b'\r')) = (self.line, bytes.first()) {
            match bytes.get(1) {
                None => return Ok(false),
                Some(b'\n') => (self.line, self.searched) = (2, 2),
                Some(_) => return Err(Violation::RequestLine),
            }
        }
        match bytes.get(self.line) {
            None => Ok(false),
            Some(byte) if classes::is_token(*byte) => {
                self.begun = true;
                Ok(true)
            }
            Some(b'\n') => Err(Violation::BareLineFeed),
            Some(_) => Err(Violation::RequestLine),
        }
    }

    /// Whether a line whose line feed stands at `end` or later still fits.
    fn fits(&self, end: usize, limits: &FramingLimits) -> Result<(), Violation> {
        if !self.request_line {
            let line = limits.target_bytes.saturating_add(LINE_BESIDE_TARGET);
            if line < limits.head_bytes && end - self.line >= line {
                return Err(Violation::TargetTooLong);
            }
        }
        if end < limits.head_bytes { Ok(()) } else { Err(Violation::HeadTooLarge) }
    }

    /// Reads a request line, given without its end.
    pub(crate) fn request_line(
        &mut self,
        line: &[u8],
        limits: &FramingLimits,
    ) -> Result<(), Violation> {
        self.request_line = true;
        let method = line.iter().position(|b| *b == b' ').ok_or(Violation::RequestLine)?;
        let (rest, version) = line.split_last_chunk::<9>().ok_or(Violation::RequestLine)?;
        if method > METHOD || rest.len() <= method + 1 || !classes::all_token(&line[..method]) {
            return Err(Violation::RequestLine);
        }
        self.old_version = match version {
            b" HTTP/1.0" => true,
            // Newer minor versions are read as the newest one known (RFC 9110, section 2.5).
            [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => false,
            [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(Violation::Version);
            }
            _ => return Err(Violation::RequestLine),
        };
        let (method, target) = (&rest[..method], &rest[method + 1..]);
        if target.len() > limits.target_bytes {
            return Err(Violation::TargetTooLong);
        }
        if is_target(method, target) { Ok(()) } else { Err(Violation::RequestLine) }
    }

    /// Reads a field, given as a line without its end and without control characters.
    pub(crate) fn field(
        &mut self,
        line: &[u8],
        limits: &FramingLimits,
    ) -> Result<Meaning, Violation> {
        self.fields += 1;
        if self.fields > limits.headers {
            return Err(Violation::HeadTooLarge);
        }
        let (name, value) = field::split(line)?;
        let meaning = match name {
            field::Name::Other => return Ok(Meaning::None),
            field::Name::Host if self.host => return Err(Violation::HostCount),
            field::Name::Host if field::is_host(classes::trim(value)) => Meaning::Host,
            field::Name::Host => return Err(Violation::HostValue),
            field::Name::ContentLength if self.length.is_some() => {
                return Err(Violation::RepeatedContentLength);
            }
            field::Name::ContentLength => {
                Meaning::Length(field::content_length(classes::trim(value))?)
            }
            field::Name::TransferEncoding
                if !self.chunked && classes::trim(value).eq_ignore_ascii_case(b"chunked") =>
            {
                Meaning::Chunked
            }
            field::Name::TransferEncoding => return Err(Violation::TransferEncoding),
            field::Name::Lookalike => return Err(Violation::FieldName),
        };
        self.note(meaning);
        Ok(meaning)
    }

    /// Notes a field that was read before.
    pub(crate) fn note(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::None => {}
            Meaning::Host => self.host = true,
            Meaning::Length(length) => self.length = Some(length),
            Meaning::Chunked => self.chunked = true,
        }
    }

    /// The rules that take the whole head.
    pub(crate) fn finish(&self) -> Result<Framing, Violation> {
        if !self.host && !self.old_version {
            return Err(Violation::HostCount);
        }
        match (self.chunked, self.length) {
            (true, _) if self.old_version => Err(Violation::EncodingInOldVersion),
            (true, Some(_)) => Err(Violation::BothLengths),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// Whether `target` has one of the forms that `method` may have.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if !classes::all_target(target) {
        return false;
    }
    let scheme = |name: &[u8]| {
        target.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && target.len() > name.len()
    };
    match method {
        b"CONNECT" => target.first() != Some(&b'/'),
        b"OPTIONS" if target == b"*" => true,
        _ => target.first() == Some(&b'/') || scheme(b"http://") || scheme(b"https://"),
    }
}
