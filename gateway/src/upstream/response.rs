//! Reading the head of an answer, from an upstream that is not trusted to frame it well.
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use memchr::memmem::Finder;

use super::{chunked::Chunked, error::BadResponse};

/// Most fields in a head.
const MAX_FIELDS: usize = 100;
/// Most interim responses before the answer.
const MAX_INTERIM: u32 = 8;

/// How the end of an answer's body is told.
#[derive(Debug)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By a last chunk.
    Chunked(Chunked),
    /// By the end of the connection.
    Close,
}

/// A head, taken off the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the upstream lets the connection be used again.
    pub(super) is_reusable: bool,
}

/// A parser in the middle of a head.
#[derive(Debug)]
pub(super) struct Parser {
    end: Finder<'static>,
    max_head: usize,
}

/// How far the search for the end of a head has got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    searched: usize,
    interim: u32,
}

impl Progress {
    /// Whether there was an interim response.
    pub(super) fn is_begun(self) -> bool {
        self.interim > 0
    }
}

impl Parser {
    pub(super) fn new(max_head: usize) -> Self {
        Self { end: Finder::new(b"\r\n\r\n"), max_head }
    }

    /// Takes the head of the answer to a request with `method` off the front of `input`, if it is complete.
    ///
    /// Interim responses before it are dropped. What was searched before is not searched again. `fields` is a map that
    /// is no longer needed: it is emptied and filled again, which saves making one.
    pub(super) fn parse(
        &self,
        input: &mut BytesMut,
        method: &Method,
        progress: &mut Progress,
        fields: &mut HeaderMap,
    ) -> Result<Option<Head>, BadResponse> {
        loop {
            let from = progress.searched.saturating_sub(3);
            let Some(end) = self.end.find(&input[from..]).map(|at| from + at + 4) else {
                progress.searched = input.len();
                let is_too_large = input.len() >= self.max_head;
                return if is_too_large { Err(self.too_large()) } else { Ok(None) };
            };
            if end > self.max_head {
                return Err(self.too_large());
            }
            let head = input.split_to(end).freeze();
            progress.searched = 0;
            if let Some(head) = take(&head, method, fields)? {
                return Ok(Some(head));
            }
            progress.interim += 1;
            if progress.interim > MAX_INTERIM {
                return Err(BadResponse::TooManyInterim(MAX_INTERIM));
            }
        }
    }

    fn too_large(&self) -> BadResponse {
        BadResponse::HeadTooLarge(self.max_head)
    }
}

/// The head in `head`, which ends in an empty line; `None` if it is an interim one.
fn take(head: &Bytes, method: &Method, map: &mut HeaderMap) -> Result<Option<Head>, BadResponse> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut fields)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => BadResponse::TooManyFields(MAX_FIELDS),
            _ => BadResponse::Head,
        })?;
    // Another end than ours: some line ended in LF alone.
    if status != httparse::Status::Complete(head.len()) {
        return Err(BadResponse::Head);
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(status), Some(minor)) = (status, parsed.version) else {
        return Err(BadResponse::Head);
    };
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadResponse::Switch);
    }
    if status.is_informational() {
        return Ok(None);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    let is_old = minor == 0;
    if is_old {
        *response.version_mut() = Version::HTTP_10;
    }
    map.clear();
    let said = read_fields(head, parsed.headers, map)?;
    let framing = said.framing(is_old, status, method)?;
    if status == StatusCode::NO_CONTENT {
        map.remove(CONTENT_LENGTH);
    }
    *response.headers_mut() = std::mem::take(map);
    let is_reusable = !is_old && !said.close && !matches!(framing, Framing::Close);
    Ok(Some(Head { response, framing, is_reusable }))
}

/// What the fields say about the framing.
#[derive(Debug, Default)]
struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
}

impl Said {
    /// RFC 9112, 6.3, refusing whatever it calls an error.
    fn framing(
        &self,
        is_old: bool,
        status: StatusCode,
        method: &Method,
    ) -> Result<Framing, BadResponse> {
        if self.chunked && (is_old || self.length.is_some()) {
            return Err(BadResponse::TransferEncoding);
        }
        let has_no_body = *method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(if has_no_body {
            Framing::Length(0)
        } else if self.chunked {
            Framing::Chunked(Chunked::new())
        } else {
            self.length.map_or(Framing::Close, Framing::Length)
        })
    }
}

/// Copies `fields`, which are in `head`, into `map`, but for those about transfer.
fn read_fields(
    head: &Bytes,
    fields: &[httparse::Header<'_>],
    map: &mut HeaderMap,
) -> Result<Said, BadResponse> {
    let mut said = Said::default();
    map.reserve(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BadResponse::Head)?;
        if name == TRANSFER_ENCODING {
            if said.chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(BadResponse::TransferEncoding);
            }
            said.chunked = true;
            continue;
        }
        if name == CONTENT_LENGTH {
            if said.length.is_some() {
                return Err(BadResponse::ContentLength);
            }
            said.length = Some(length(field.value)?);
        } else if name == CONNECTION {
            said.close |= field
                .value
                .split(|byte| *byte == b',')
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| BadResponse::Head)?;
        map.append(name, value);
    }
    Ok(said)
}

/// A length in digits and nothing else.
fn length(value: &[u8]) -> Result<u64, BadResponse> {
    let text = std::str::from_utf8(value).map_err(|_| BadResponse::ContentLength)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadResponse::ContentLength);
    }
    text.parse().map_err(|_| BadResponse::ContentLength)
}
