//! The frames of HTTP/2, as they pass by.

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
pub(super) const END_STREAM: u8 = 1;

/// Bytes before the payload of a frame.
const HEAD: usize = 9;
/// Length of what a client sends before its first frame.
const PREFACE: u32 = 24;

/// A frame that has passed whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    /// The first bytes of its payload, as far as it has them.
    first: [u8; 4],
}

impl Frame {
    /// Whether its stream ends with it, on the side that sent it.
    pub(super) fn ends(self) -> bool {
        match self.kind {
            DATA | HEADERS => self.flags & END_STREAM != 0,
            kind => kind == RST_STREAM,
        }
    }

    /// The last stream that is still served, where this is a GOAWAY.
    pub(super) fn last_stream(self) -> u32 {
        u32::from_be_bytes(self.first) & 0x7fff_ffff
    }
}

/// Finds the frames in a stream of bytes, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// The head of a frame and the first bytes of its payload.
    start: [u8; HEAD + 4],
    have: usize,
    /// Bytes of the payload that are still to come, once the head is there.
    left: u32,
    /// Bytes until the first frame.
    skip: u32,
}

impl Follower {
    /// Follows what a client sends.
    pub(super) fn of_client() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Tells `found` of each frame that ends with `bytes`.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        bytes = &bytes[take(&mut self.skip, bytes.len())..];
        while !bytes.is_empty() {
            if self.have < HEAD {
                let n = (HEAD - self.have).min(bytes.len());
                self.keep(&bytes[..n]);
                bytes = &bytes[n..];
                if self.have < HEAD {
                    return;
                }
                self.left = u32::from_be_bytes([0, self.start[0], self.start[1], self.start[2]]);
            }
            let n = take(&mut self.left, bytes.len());
            let room = self.start.len() - self.have;
            self.keep(&bytes[..n.min(room)]);
            bytes = &bytes[n..];
            if self.left == 0 {
                let [_, _, _, kind, flags, s0, s1, s2, s3, first @ ..] =
                    std::mem::take(&mut self.start);
                let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
                self.have = 0;
                found(Frame { kind, flags, stream, first });
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.start[self.have..self.have + bytes.len()].copy_from_slice(bytes);
        self.have += bytes.len();
    }
}

/// Takes as much from `left` as there is, at most `most`: how much that is.
fn take(left: &mut u32, most: usize) -> usize {
    let n = u32::try_from(most).map_or(*left, |most| most.min(*left));
    *left -= n;
    n as usize
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with a payload of 0xff.
    pub(in crate::server) fn frame(kind: u8, flags: u8, stream: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
        bytes.resize(HEAD + usize::from(length), 0xff);
        bytes
    }

    #[test]
    fn a_frame_is_found_with_its_last_byte() {
        let mut follower = Follower::default();
        let bytes = frame(DATA, END_STREAM, 1, 30);
        let mut found = 0;
        follower.follow(&bytes[..38], |_| found += 1);
        assert_eq!(found, 0);
        follower.follow(&bytes[38..], |frame| found += usize::from(frame.ends()));
        assert_eq!(found, 1);
    }

    proptest! {
        #[test]
        fn cuts_hide_no_frame(
            frames in proptest::collection::vec((0..10_u8, any::<u8>(), 1..9_u8, any::<u8>()), 0..20),
            cut in 1..50_usize,
        ) {
            let bytes: Vec<u8> =
                frames.iter().flat_map(|(k, f, s, l)| frame(*k, *f, *s, *l)).collect();
            let mut follower = Follower::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(cut) {
                follower.follow(piece, |frame| found.push((frame.kind, frame.flags, frame.stream)));
            }
            let all: Vec<_> = frames.iter().map(|(k, f, s, _)| (*k, *f, u32::from(*s))).collect();
            prop_assert_eq!(found, all);
        }
    }
}
