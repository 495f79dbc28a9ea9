//! What goes from a master to a slave.
//!
//! A frame: length of the payload (`u32`), CRC-32 of kind and payload (`u32`), kind (`u8`),
//! payload; numbers are little-endian. TCP's own checksum lets one error in some thousands of
//! damaged packets pass; this one is checked where the bytes are used.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::store::{Change, Mark};

const HEAD: usize = 9;
/// The longest payload: a part of the log, or a piece of a copy, with room to spare. A part ends
/// after the row that fills it, and a row may be as long as SQLite's longest value.
const LONGEST: usize = 80 << 20;

/// Something a master says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// First: changes follow from where the slave is.
    Following,
    /// First, or whenever the log has no more of what follows: the slave needs a copy. With why.
    CopyNeeded(String),
    /// The master lives, and is at this revision.
    Beat(u64),
    /// A commit, or a part of one.
    Change(Change),
    /// A copy of so many bytes begins; it is of this mark.
    Copy {
        /// Where in which history the copy is.
        mark: Mark,
        /// Bytes of its file.
        size: u64,
    },
    /// The next bytes of the copy.
    Piece(Bytes),
    /// The copy is complete; with the CRC-32 of all of it.
    CopyEnd(u32),
}

/// The bytes are not what a master says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A frame is longer than any can be.
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    /// The checksum does not match.
    #[error("a damaged frame")]
    Damaged,
    /// The frame is whole, its content is not.
    #[error("a frame of kind {0} that cannot be read")]
    Content(u8),
}

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Self::Following => 1,
            Self::CopyNeeded(_) => 2,
            Self::Beat(_) => 3,
            Self::Change(_) => 4,
            Self::Copy { .. } => 5,
            Self::Piece(_) => 6,
            Self::CopyEnd(_) => 7,
        }
    }

    /// Appends the message as a frame.
    pub fn put(&self, out: &mut BytesMut) {
        let at = out.len();
        out.put_bytes(0, HEAD - 1);
        out.put_u8(self.kind());
        match self {
            Self::Following => {}
            Self::CopyNeeded(why) => out.put_slice(why.as_bytes()),
            Self::Beat(revision) => out.put_u64_le(*revision),
            Self::Change(change) => {
                out.put_u64_le(change.first);
                out.put_u64_le(change.last);
                out.put_u16_le(change.part);
                out.put_u8(change.ends.into());
                out.put_i64_le(change.before);
                out.put_i64_le(change.nonce);
                out.put_u64_le(change.at);
                out.put_slice(&change.ops);
            }
            Self::Copy { mark, size } => {
                out.put_u64_le(*size);
                out.put_u64_le(mark.revision);
                out.put_i64_le(mark.nonce);
                out.put_slice(mark.lineage.as_bytes());
            }
            Self::Piece(bytes) => out.put_slice(bytes),
            Self::CopyEnd(sum) => out.put_u32_le(*sum),
        }
        let frame = &mut out[at..];
        let length = u32::try_from(frame.len() - HEAD).unwrap_or(u32::MAX);
        let sum = crc32fast::hash(&frame[HEAD - 1..]);
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..8].copy_from_slice(&sum.to_le_bytes());
    }

    fn read(kind: u8, mut payload: Bytes) -> Option<Self> {
        let text = |bytes: Bytes| String::from_utf8(bytes.into()).ok();
        Some(match kind {
            1 if payload.is_empty() => Self::Following,
            2 => Self::CopyNeeded(text(payload)?),
            3 if payload.len() == 8 => Self::Beat(payload.get_u64_le()),
            4 if payload.len() >= 43 => Self::Change(Change {
                first: payload.get_u64_le(),
                last: payload.get_u64_le(),
                part: payload.get_u16_le(),
                ends: payload.get_u8() != 0,
                before: payload.get_i64_le(),
                nonce: payload.get_i64_le(),
                at: payload.get_u64_le(),
                ops: payload.into(),
            }),
            5 if payload.len() >= 24 => {
                let (size, revision) = (payload.get_u64_le(), payload.get_u64_le());
                let nonce = payload.get_i64_le();
                Self::Copy { mark: Mark { lineage: text(payload)?, revision, nonce }, size }
            }
            6 => Self::Piece(payload),
            7 if payload.len() == 4 => Self::CopyEnd(payload.get_u32_le()),
            _ => return None,
        })
    }
}

/// Makes messages of the bytes of a stream, however they come in pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes in what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait to be a message.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// [`Unreadable`]; nothing that comes after can be trusted.
    pub fn message(&mut self) -> Result<Option<Message>, Unreadable> {
        let Some(head) = self.buffer.get(..HEAD) else { return Ok(None) };
        let mut head = head;
        let length = usize::try_from(head.get_u32_le()).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(Unreadable::TooLong(length));
        }
        let (sum, kind) = (head.get_u32_le(), head.get_u8());
        if self.buffer.len() < HEAD + length {
            self.buffer.reserve(HEAD + length - self.buffer.len());
            return Ok(None);
        }
        let frame = self.buffer.split_to(HEAD + length).freeze();
        if crc32fast::hash(&frame[HEAD - 1..]) != sum {
            return Err(Unreadable::Damaged);
        }
        Message::read(kind, frame.slice(HEAD..)).ok_or(Unreadable::Content(kind)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = Message> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..300);
        let change = (any::<[u64; 3]>(), any::<[i64; 2]>(), any::<u16>(), any::<bool>(), bytes());
        prop_oneof![
            Just(Message::Following),
            ".{0,40}".prop_map(Message::CopyNeeded),
            any::<u64>().prop_map(Message::Beat),
            change.prop_map(|([first, last, at], [before, nonce], part, ends, ops)| {
                Message::Change(Change { first, last, part, ends, before, nonce, at, ops })
            }),
            ("[0-9a-f]{0,32}", any::<u64>(), any::<i64>(), any::<u64>()).prop_map(
                |(lineage, revision, nonce, size)| {
                    Message::Copy { mark: Mark { lineage, revision, nonce }, size }
                }
            ),
            bytes().prop_map(|bytes| Message::Piece(bytes.into())),
            any::<u32>().prop_map(Message::CopyEnd),
        ]
    }

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Message>, Unreadable> {
        let (mut decoder, mut all) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.push(piece);
            while let Some(message) = decoder.message()? {
                all.push(message);
            }
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn messages_arrive_however_they_are_cut(
            sent in prop::collection::vec(message(), 1..6), size in 1..64_usize,
        ) {
            let mut bytes = BytesMut::new();
            sent.iter().for_each(|message| message.put(&mut bytes));
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(decode(&pieces), Ok(sent));
        }

        #[test]
        fn a_flipped_bit_is_noticed_or_waited_for_and_never_another_message(
            sent in message(), at in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let mut bytes = BytesMut::new();
            sent.put(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(decode(&[&bytes]).is_ok_and(|all| all.is_empty()) || decode(&[&bytes]).is_err());
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_anything_is_allocated() {
        assert_eq!(decode(&[&[0xff; HEAD]]), Err(Unreadable::TooLong(0xffff_ffff)));
    }
}
