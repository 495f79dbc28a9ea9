//! Reading request bodies: whole, bounded, and only of the declared kind.

use std::{
    fmt::Display,
    future::poll_fn,
    io::{self, Read},
    pin::{Pin, pin},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, header};

use super::failure::Failure;
use crate::store::rows::Format;

/// How much more than its limit is still read of a body, so that a client that sends first and listens
/// afterwards gets to see the refusal instead of a reset connection.
const DRAINED: u64 = 16 << 20;
/// Unpacked bytes a packed body may always have, whatever its size.
const FREE_UNPACKED: u64 = 4 << 20;
/// Unpacked bytes a byte of a packed body may stand for beyond that. Repetitive NDJSON packs
/// about 1 : 30; a bomb packs 1 : 1000.
const MAX_RATIO: u64 = 250;

/// Reads a body to its end. One that arrived in one piece is not copied.
///
/// One that is too large is still taken, and dropped, where it is not much larger and its client
/// did not ask first whether to send it.
///
/// Cancel safe in so far as nothing is kept of a body whose reading was dropped.
///
/// # Errors
/// [`Failure::TooLarge`] beyond `limit` bytes, [`Failure::BodyCut`] if the body breaks off.
pub async fn read<B>(headers: &HeaderMap, body: B, limit: u64) -> Result<Bytes, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let mut body = pin!(body);
    let declared = body.size_hint().lower();
    if declared > limit {
        if !headers.contains_key(header::EXPECT) && declared <= limit.saturating_add(DRAINED) {
            drain(body, declared).await;
        }
        return Err(Failure::TooLarge { limit });
    }
    let mut whole = Bytes::new();
    let mut joined = Vec::new();
    while let Some(data) = next_data(body.as_mut()).await? {
        if (whole.len() + joined.len() + data.len()) as u64 > limit {
            drain(body, DRAINED).await;
            return Err(Failure::TooLarge { limit });
        }
        if whole.is_empty() && joined.is_empty() {
            whole = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if joined.is_empty() { whole } else { joined.into() })
}

/// Reads up to so many bytes further and lets them all drop.
async fn drain<B>(mut body: Pin<&mut B>, mut left: u64)
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    while let Ok(Some(data)) = next_data(body.as_mut()).await {
        left = left.saturating_sub(data.len() as u64);
        if left == 0 {
            break;
        }
    }
}

async fn next_data<B>(mut body: Pin<&mut B>) -> Result<Option<Bytes>, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
            Some(Err(error)) => {
                tracing::debug!(%error, "a request body broke off");
                return Err(Failure::BodyCut);
            }
        }
    }
}

/// The media type of a `Content-Type` without its parameters, if there is one.
fn media_type(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    Some(value[..end].trim_ascii())
}

fn shown(value: &[u8]) -> String {
    format!("{}", super::json::Quoted(&String::from_utf8_lossy(value)))
}

/// Passes a body that is declared JSON, or not declared at all, and not packed.
///
/// # Errors
/// [`Failure::UnsupportedMediaType`] otherwise.
pub fn expect_json(headers: &HeaderMap) -> Result<(), Failure> {
    match media_type(headers) {
        None | Some(b"application/json" | b"") => {}
        Some(other) if other.eq_ignore_ascii_case(b"application/json") => {}
        // What curl, wget and Python's urllib declare when nobody told them: nothing was said.
        Some(other) if other.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") => {}
        Some(other) => {
            return Err(Failure::UnsupportedMediaType(
                format!("content type \"{}\": expected application/json", shown(other)).into(),
            ));
        }
    }
    if packing(headers)? == Packing::Gzip {
        return Err(Failure::UnsupportedMediaType(
            "content encoding \"gzip\": only ingest takes packed bodies".into(),
        ));
    }
    Ok(())
}

/// Which format the `Content-Type` of a bulk body declares; NDJSON where it declares none.
///
/// # Errors
/// [`Failure::UnsupportedMediaType`] for anything else.
pub fn rows_format(headers: &HeaderMap) -> Result<Format, Failure> {
    let Some(given) = media_type(headers) else { return Ok(Format::Ndjson) };
    match given.to_ascii_lowercase().as_slice() {
        b""
        | b"application/x-ndjson"
        | b"application/ndjson"
        | b"application/json"
        | b"application/x-www-form-urlencoded" => Ok(Format::Ndjson),
        b"text/csv" => Ok(Format::Csv),
        _ => Err(Failure::UnsupportedMediaType(
            format!("content type \"{}\": expected application/x-ndjson or text/csv", shown(given))
                .into(),
        )),
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
}

/// How the `Content-Encoding` says a body is packed.
///
/// # Errors
/// [`Failure::UnsupportedMediaType`] for anything but gzip.
pub fn packing(headers: &HeaderMap) -> Result<Packing, Failure> {
    let given = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
    match given.trim_ascii().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(Packing::Plain),
        b"gzip" | b"x-gzip" => Ok(Packing::Gzip),
        _ => Err(Failure::UnsupportedMediaType(
            format!("content encoding \"{}\": expected gzip or none", shown(given)).into(),
        )),
    }
}

/// Marks the error of an [`Unpacked`] that ran over its limits.
#[derive(Debug, thiserror::Error)]
#[error("unpacks to more than {limit} bytes")]
pub struct Overflow {
    /// The limit that was passed.
    pub limit: u64,
}

/// A body as it reads unpacked, with a bound on what may come out.
///
/// Reading fails with an [`Overflow`] inside the [`io::Error`] once more than `limit` bytes came
/// out, or out of gzip more than 4 MiB and 250 times what went in.
#[derive(Debug)]
pub struct Unpacked {
    inner: Source,
    packed: u64,
    out: u64,
    limit: u64,
}

#[derive(Debug)]
enum Source {
    Plain(bytes::buf::Reader<Bytes>),
    Gzip(Box<flate2::read::MultiGzDecoder<bytes::buf::Reader<Bytes>>>),
}

impl Unpacked {
    /// Reads `body`, packed as told, up to `limit` bytes.
    #[must_use]
    pub fn new(body: Bytes, packing: Packing, limit: u64) -> Self {
        let packed = body.len() as u64;
        let inner = match packing {
            Packing::Plain => Source::Plain(body.reader()),
            Packing::Gzip => {
                Source::Gzip(Box::new(flate2::read::MultiGzDecoder::new(body.reader())))
            }
        };
        let limit = match packing {
            Packing::Plain => limit,
            Packing::Gzip => limit.min(FREE_UNPACKED.saturating_add(packed * MAX_RATIO)),
        };
        Self { inner, packed, out: 0, limit }
    }

    /// Bytes of the body as it was sent.
    #[must_use]
    pub fn packed_len(&self) -> u64 {
        self.packed
    }
}

impl Read for Unpacked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.inner {
            Source::Plain(source) => source.read(buf)?,
            Source::Gzip(source) => source.read(buf)?,
        };
        self.out += n as u64;
        if self.out > self.limit {
            return Err(io::Error::other(Overflow { limit: self.limit }));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::{BodyExt, Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn pieces(pieces: &[&'static [u8]]) -> impl http_body::Body<Data = Bytes, Error = io::Error> {
        let frames: Vec<_> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_its_limit_and_no_longer() {
        assert_eq!(
            read(&HeaderMap::new(), pieces(&[b"ab", b"", b"cde"]), 5).await.unwrap(),
            "abcde"
        );
        assert_eq!(read(&HeaderMap::new(), pieces(&[]), 0).await.unwrap(), "");
        let too_large = Failure::TooLarge { limit: 4 };
        assert_eq!(read(&HeaderMap::new(), pieces(&[b"ab", b"cde"]), 4).await, Err(too_large));
        let declared = Full::new(Bytes::from_static(b"abcde"));
        assert_eq!(read(&HeaderMap::new(), declared, 4).await, Err(Failure::TooLarge { limit: 4 }));
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let sent = Bytes::from_static(b"whole");
        let got = read(&HeaderMap::new(), Full::new(sent.clone()), 100).await.unwrap();
        assert_eq!(got.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let broken = StreamBody::new(futures_util::stream::iter([
            Ok(Frame::data(Bytes::from_static(b"{}"))),
            Err(io::Error::other("reset")),
        ]));
        assert_eq!(read(&HeaderMap::new(), broken.boxed(), 100).await, Err(Failure::BodyCut));
    }

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn json_may_be_declared_with_parameters_or_not_at_all() {
        for value in ["application/json", "Application/JSON; charset=utf-8", "application/json ;x"]
        {
            assert_eq!(expect_json(&headers(header::CONTENT_TYPE, value)), Ok(()), "{value}");
        }
        assert_eq!(expect_json(&HeaderMap::new()), Ok(()));
        assert_eq!(
            expect_json(&headers(header::CONTENT_TYPE, "application/x-www-form-urlencoded")),
            Ok(())
        );
        for value in ["text/plain", "application/jsonp", "multipart/form-data"] {
            let error = expect_json(&headers(header::CONTENT_TYPE, value)).unwrap_err();
            assert!(error.to_string().contains("expected application/json"), "{error}");
        }
        assert!(expect_json(&headers(header::CONTENT_ENCODING, "gzip")).is_err());
    }

    #[test]
    fn bulk_bodies_are_ndjson_or_csv() {
        let of = |value| rows_format(&headers(header::CONTENT_TYPE, value));
        assert_eq!(of("application/x-ndjson"), Ok(Format::Ndjson));
        assert_eq!(of("text/csv; header=present"), Ok(Format::Csv));
        assert!(of("application/xml").is_err());
        assert_eq!(rows_format(&HeaderMap::new()), Ok(Format::Ndjson));
    }

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    fn unpack(body: Bytes, packing: Packing, limit: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Unpacked::new(body, packing, limit).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn packed_bodies_unpack_up_to_their_limit() {
        let plain = b"{}\n".repeat(1000);
        assert_eq!(unpack(gzip(&plain), Packing::Gzip, 3000).unwrap(), plain);
        let error = unpack(gzip(&plain), Packing::Gzip, 2999).unwrap_err();
        assert!(error.get_ref().unwrap().is::<Overflow>());
        let two_members = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(unpack(two_members.into(), Packing::Gzip, 10).unwrap(), b"ab");
        assert!(unpack(gzip(&plain).slice(..20), Packing::Gzip, 3000).is_err());
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio_long_before_the_limit() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let allowed = FREE_UNPACKED + bomb.len() as u64 * MAX_RATIO;
        assert!(allowed < 32 << 20, "the test needs a bomb beyond the ratio");
        let error = unpack(bomb, Packing::Gzip, u64::MAX).unwrap_err();
        assert!(error.get_ref().unwrap().is::<Overflow>());
    }
}
