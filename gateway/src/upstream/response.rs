//! Reading the head of an answer, from an upstream that is not trusted to frame it well.
use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header::CONTENT_LENGTH};
use memchr::memmem::Finder;

use super::{
    chunked::Chunked,
    error::BadResponse,
    fields::{MAX_FIELDS, Memo, Said},
};

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
    /// is no longer needed: it is emptied and filled again, which saves making one. A length is among them only where there
    /// is no body. `memo` is of the same node.
    pub(super) fn parse(
        &self,
        input: &mut BytesMut,
        method: &Method,
        progress: &mut Progress,
        fields: &mut HeaderMap,
        memo: &mut Memo,
    ) -> Result<Option<Head>, BadResponse> {
        loop {
            if let Some((length, status, said)) = memo.same(input, fields) {
                input.advance(length);
                return finish(status, Version::HTTP_11, said, method, fields).map(Some);
            }
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
            if let Some(head) = take(&head, method, fields, memo)? {
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
fn take(
    head: &Bytes,
    method: &Method,
    map: &mut HeaderMap,
    memo: &mut Memo,
) -> Result<Option<Head>, BadResponse> {
    let (status, version, start) = match memo.status(head) {
        Some((status, start)) => (status, Version::HTTP_11, start),
        None => parse_status(head, memo)?,
    };
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadResponse::Switch);
    }
    if status.is_informational() {
        return Ok(None);
    }
    map.clear();
    let said = memo.read(head, start, map)?;
    finish(status, version, said, method, map).map(Some)
}

/// The head with the fields in `map`.
fn finish(
    status: StatusCode,
    version: Version,
    said: Said,
    method: &Method,
    map: &mut HeaderMap,
) -> Result<Head, BadResponse> {
    let framing = framing(said, version, status, method)?;
    if let (Framing::Length(0), Some(length)) = (&framing, said.length)
        && status != StatusCode::NO_CONTENT
    {
        // There is no body that could tell.
        map.append(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    *response.headers_mut() = std::mem::take(map);
    let is_reusable =
        version == Version::HTTP_11 && !said.close && !matches!(framing, Framing::Close);
    Ok(Head { response, framing, is_reusable })
}

/// The status, the version, and where the fields begin.
#[cold]
fn parse_status(
    head: &Bytes,
    memo: &mut Memo,
) -> Result<(StatusCode, Version, usize), BadResponse> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, head, &mut fields)
        .map_err(|error| match error {
            httparse::Error::TooManyHeaders => BadResponse::TooManyFields(MAX_FIELDS),
            _ => BadResponse::Head,
        })?;
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let end = memchr::memchr(b'\n', head).filter(|end| head[..*end].ends_with(b"\r"));
    let (Some(status), Some(minor), Some(end)) = (status, parsed.version, end) else {
        return Err(BadResponse::Head);
    };
    if minor == 0 {
        return Ok((status, Version::HTTP_10, end + 1));
    }
    memo.learn_status(head, status);
    Ok((status, Version::HTTP_11, end + 1))
}

/// RFC 9112, 6.3, refusing whatever it calls an error.
fn framing(
    said: Said,
    version: Version,
    status: StatusCode,
    method: &Method,
) -> Result<Framing, BadResponse> {
    if said.chunked && (version != Version::HTTP_11 || said.length.is_some()) {
        return Err(BadResponse::TransferEncoding);
    }
    let has_no_body = *method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(if has_no_body {
        Framing::Length(0)
    } else if said.chunked {
        Framing::Chunked(Chunked::new())
    } else {
        said.length.map_or(Framing::Close, Framing::Length)
    })
}
