//! A chunked body, chunk by chunk.

use memchr::memchr;

use super::{Violation, classes, field};

/// Longest size line, extensions and line end included.
const SIZE_LINE: usize = 256;
/// Most bytes and fields of trailers.
const TRAILERS: (usize, usize) = (8 * 1024, 32);

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// At a size line.
    Size,
    /// In the data of a chunk, with so much to come.
    Data(u64),
    /// At the line end after the data.
    DataEnd,
    /// Among the trailers.
    Trailers { bytes: usize, fields: usize },
}

/// One step through a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes are fine, and the body goes on.
    Passed(usize),
    /// So many bytes are fine, and the body ends with them.
    End(usize),
    /// There is too little to tell.
    Short,
}

impl Chunked {
    /// Reads on in `bytes`, which begin with the first byte not yet passed.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Step, Violation> {
        match *self {
            Self::Size => {
                let Some(line) = line(bytes, SIZE_LINE, Violation::ChunkSize)? else {
                    return Ok(Step::Short);
                };
                *self = match size(line)? {
                    0 => Self::Trailers { bytes: 0, fields: 0 },
                    n => Self::Data(n),
                };
                Ok(Step::Passed(line.len() + 2))
            }
            Self::Data(left) => {
                let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - n as u64;
                *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                Ok(Step::Passed(n))
            }
            Self::DataEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    *self = Self::Size;
                    Ok(Step::Passed(2))
                }
                [] | [b'\r'] => Ok(Step::Short),
                _ => Err(Violation::ChunkEnd),
            },
            Self::Trailers { bytes: before, fields } => {
                let room = TRAILERS.0 - before;
                let Some(line) = line(bytes, room, Violation::Trailer)? else {
                    return Ok(Step::Short);
                };
                if line.is_empty() {
                    return Ok(Step::End(2));
                }
                let named = field::split(line).is_ok_and(|(name, _)| name == field::Name::Other);
                if !named || fields == TRAILERS.1 || line.iter().any(|b| classes::is_control(*b)) {
                    return Err(Violation::Trailer);
                }
                let passed = line.len() + 2;
                *self = Self::Trailers { bytes: before + passed, fields: fields + 1 };
                Ok(Step::Passed(passed))
            }
        }
    }
}

/// The first line without its end; `None` where it is not whole yet.
fn line(bytes: &[u8], most: usize, otherwise: Violation) -> Result<Option<&[u8]>, Violation> {
    match memchr(b'\n', &bytes[..bytes.len().min(most)]) {
        Some(end) => match &bytes[..end] {
            [line @ .., b'\r'] => Ok(Some(line)),
            _ => Err(otherwise),
        },
        None if bytes.len() >= most => Err(otherwise),
        None => Ok(None),
    }
}

/// The size in a size line. Extensions are allowed, and nothing in them means anything.
fn size(line: &[u8]) -> Result<u64, Violation> {
    let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    if digits == 0 || digits > 15 {
        return Err(Violation::ChunkSize);
    }
    let size = line[..digits].iter().fold(0u64, |n, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            letter => (letter | 0x20) - b'a' + 10,
        };
        n << 4 | u64::from(digit)
    });
    let rest = &line[digits..];
    let blanks = rest.iter().position(|b| !b" \t".contains(b)).unwrap_or(rest.len());
    match rest.get(blanks) {
        None if blanks == 0 => Ok(size),
        Some(b';') if !rest.iter().any(|b| classes::is_control(*b)) => Ok(size),
        _ => Err(Violation::ChunkSize),
    }
}
