//! Taking chunks apart (RFC 9112, 7.1).
use bytes::{Buf as _, Bytes, BytesMut};

use super::error::BadResponse;

/// Longest line of a chunk's size and extensions.
const MAX_SIZE_LINE: usize = 256;
/// Most bytes of trailer fields, which are dropped.
const MAX_TRAILERS: usize = 8 * 1024;

/// A decoder in the middle of a body.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    trailers: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data(u64),
    /// The line break after a chunk.
    DataEnd,
    Trailers,
    Ended,
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Data(Bytes),
    /// There must be more before anything can come out.
    More,
    End,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Size, trailers: 0 }
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes from the front of `input` what can be decoded next.
    ///
    /// Stricter than the grammar: lines end in CR LF, never LF alone, since a recipient further on may see it otherwise.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, BadResponse> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = line(input, MAX_SIZE_LINE)? else { return Ok(Decoded::More) };
                    let size = size(&input[..line])?;
                    input.advance(line + 2);
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(_) if input.is_empty() => return Ok(Decoded::More),
                State::Data(left) => {
                    let taken = usize::try_from(left).map_or(input.len(), |n| n.min(input.len()));
                    let data = input.split_to(taken).freeze();
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Decoded::Data(data));
                }
                State::DataEnd if input.len() < 2 => return Ok(Decoded::More),
                State::DataEnd => {
                    if input[..2] != *b"\r\n" {
                        return Err(BadResponse::Chunk);
                    }
                    input.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let room = MAX_TRAILERS - self.trailers;
                    let Some(line) = line(input, room)? else { return Ok(Decoded::More) };
                    self.trailers += line;
                    input.advance(line + 2);
                    if line == 0 {
                        self.state = State::Ended;
                    }
                }
                State::Ended => return Ok(Decoded::End),
            }
        }
    }
}

/// The length of the line at the front of `input`, without its CR LF; `None` if it does not end yet.
fn line(input: &BytesMut, max: usize) -> Result<Option<usize>, BadResponse> {
    match memchr::memchr(b'\n', input) {
        Some(end) if end > 0 && input[end - 1] == b'\r' && end - 1 <= max => Ok(Some(end - 1)),
        None if input.len() <= max + 1 => Ok(None),
        _ => Err(BadResponse::Chunk),
    }
}

/// The size at the front of a chunk's first line. Extensions are skipped.
fn size(line: &[u8]) -> Result<u64, BadResponse> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let rest = rest.trim_ascii_start();
    // Sixteen digits are all that 64 bits hold.
    if digits.is_empty() || digits.len() > 16 || !(rest.is_empty() || rest[0] == b';') {
        return Err(BadResponse::Chunk);
    }
    // Checked above, so it parses.
    let text = std::str::from_utf8(digits).map_err(|_| BadResponse::Chunk)?;
    u64::from_str_radix(text, 16).map_err(|_| BadResponse::Chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `pieces` and collects what comes out: the data, whether it ended, and what is left of the input.
    fn decode<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, bool, Vec<u8>), BadResponse> {
        let (mut chunked, mut input, mut out) = (Chunked::new(), BytesMut::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Decoded::Data(data) = chunked.decode(&mut input)? {
                out.extend_from_slice(&data);
            }
        }
        Ok((out, chunked.is_ended(), input.to_vec()))
    }

    #[test]
    fn extensions_and_trailers_are_dropped_and_what_follows_is_left() {
        let got =
            decode([&b"3;a=b\r\nabc\r\n0A ;x\r\n0123456789\r\n0\r\nx: y\r\nz: \r\n\r\nnext"[..]]);
        assert_eq!(got.unwrap(), (b"abc0123456789".to_vec(), true, b"next".to_vec()));
    }

    #[test]
    fn whatever_is_not_a_chunk_is_refused() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 2\r\n",
            "1\n",
            "11111111111111111\r\n",
            "1\r\nab\r\n",
            "1\r\na\nx",
            "0\r\n\n",
            &"1".repeat(MAX_SIZE_LINE + 2),
            &format!("1;{}\r\n", "x".repeat(MAX_SIZE_LINE)),
            &format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILERS / 4 + 2)),
        ] {
            assert_eq!(decode([bad.as_bytes()]), Err(BadResponse::Chunk), "{bad}");
        }
    }

    #[test]
    fn a_size_is_not_believed_beyond_what_comes() {
        let (data, ended, _) = decode([&b"ffffffffffffffff\r\nabc"[..]]).unwrap();
        assert_eq!((data, ended), (b"abc".to_vec(), false));
    }

    proptest! {
        #[test]
        fn any_chunks_cut_anywhere_give_the_same_data(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([wire.len()]);
            let starts = [0].into_iter().chain(cuts.iter().copied());
            let (data, ended, left) = decode(starts.zip(ends).map(|(a, b)| &wire[a..b])).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert!(ended && left.is_empty());
            // Without its last byte it has no end.
            prop_assert!(!decode([&wire[..wire.len() - 1]]).unwrap().1);
        }

        #[test]
        fn noise_neither_panics_nor_grows(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((data, _, left)) = decode([&noise[..]]) {
                prop_assert!(data.len() + left.len() <= noise.len());
            }
        }
    }
}
