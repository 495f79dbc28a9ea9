//! What the streams of an HTTP/2 connection wait for.
//!
//! hyper hands out request bodies that can't be watched, so slow uploads are told from the frames
//! that pass by: a stream is an upload from the HEADERS that open it to the END_STREAM or
//! RST_STREAM, of either side, that ends it. Slow readers are told from the answers' bodies: from
//! when one has given a piece to when it is asked for the next, it is the client's turn.

use super::state::Millis;

/// Uploads that are followed at a time; the server allows fewer streams.
const UPLOADS: usize = 1024;
/// Length of what a client sends before its first frame.
const PREFACE: u32 = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

#[derive(Debug)]
pub(super) struct Streams {
    inbound: Follower,
    outbound: Follower,
    uploads: Vec<Upload>,
    turns: Vec<(u64, Millis)>,
}

#[derive(Debug)]
struct Upload {
    stream: u32,
    since: Millis,
    bytes: u64,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            inbound: Follower { skip: PREFACE, ..Follower::default() },
            outbound: Follower::default(),
            uploads: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// The client sent `bytes`.
    pub(super) fn received(&mut self, bytes: &[u8], now: Millis) {
        let uploads = &mut self.uploads;
        self.inbound.follow(bytes, |frame| {
            let known = uploads.iter().position(|upload| upload.stream == frame.stream);
            match (frame.kind, known) {
                (DATA, Some(at)) => uploads[at].bytes += u64::from(frame.length),
                (HEADERS, None) if !frame.ends() && uploads.len() < UPLOADS => {
                    uploads.push(Upload { stream: frame.stream, since: now, bytes: 0 });
                }
                _ => {}
            }
            if let (true, Some(at)) = (frame.ends(), known) {
                uploads.swap_remove(at);
            }
        });
    }

    /// The server sent `bytes`.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let uploads = &mut self.uploads;
        self.outbound.follow(bytes, |frame| {
            if frame.ends() {
                uploads.retain(|upload| upload.stream != frame.stream);
            }
        });
    }

    /// It is the client's turn to ask for more of answer `id`.
    pub(super) fn client_turn(&mut self, id: u64, now: Millis) {
        self.server_turn(id);
        self.turns.push((id, now));
    }

    /// It is the server's turn, or answer `id` is done with.
    pub(super) fn server_turn(&mut self, id: u64) {
        self.turns.retain(|(other, _)| *other != id);
    }

    /// Whether a client let an answer wait since before `deadline`.
    pub(super) fn reads_slowly(&self, late: impl Fn(Millis) -> bool) -> bool {
        self.turns.iter().any(|(_, since)| late(*since))
    }

    /// Whether an upload, of so many bytes since then, is too slow.
    pub(super) fn uploads_slowly(&self, late: impl Fn(Millis, u64) -> bool) -> bool {
        self.uploads.iter().any(|upload| late(upload.since, upload.bytes))
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    /// Whether its stream ends with it, on the side that sent it.
    fn ends(self) -> bool {
        match self.kind {
            DATA | HEADERS => self.flags & END_STREAM != 0,
            kind => kind == RST_STREAM,
        }
    }
}

/// Finds the heads of frames in a stream of bytes, however it is cut.
#[derive(Debug, Default)]
struct Follower {
    head: [u8; 9],
    have: usize,
    /// Bytes until the next head.
    skip: u32,
}

impl Follower {
    fn follow(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = usize::try_from(self.skip).map_or(bytes.len(), |n| n.min(bytes.len()));
                bytes = &bytes[n..];
                self.skip -= u32::try_from(n).unwrap_or(self.skip);
                continue;
            }
            let n = (self.head.len() - self.have).min(bytes.len());
            self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.have += n;
            if self.have == self.head.len() {
                self.have = 0;
                let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
                let length = u32::from_be_bytes([0, l0, l1, l2]);
                let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
                self.skip = length;
                found(Frame { length, kind, flags, stream });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
        bytes.resize(9 + usize::from(length), 0xff);
        bytes
    }

    fn open(streams: &Streams) -> Vec<(u32, u64)> {
        streams.uploads.iter().map(|upload| (upload.stream, upload.bytes)).collect()
    }

    #[test]
    fn uploads_open_grow_and_end_by_either_side() {
        let mut streams = Streams::new();
        streams.received(&[b'P'; 24], 0);
        streams.received(&[frame(4, 0, 0, 6), frame(HEADERS, 4, 1, 20)].concat(), 7);
        streams.received(&frame(HEADERS, 4, 3, 20), 8);
        streams.received(&frame(HEADERS, 4 | END_STREAM, 5, 20), 9);
        streams.received(&frame(HEADERS, 4, 7, 20), 9);
        streams.received(&[frame(DATA, 0, 1, 100), frame(6, 1, 0, 8)].concat(), 10);
        assert_eq!(open(&streams), [(1, 100), (3, 0), (7, 0)]);
        assert!(streams.uploads_slowly(|since, bytes| since == 7 && bytes == 100));
        streams.received(&frame(DATA, END_STREAM, 1, 3), 11);
        streams.sent(&frame(DATA, 0, 3, 30));
        streams.sent(&frame(RST_STREAM, 0, 3, 4));
        streams.received(&frame(RST_STREAM, 0, 7, 4), 12);
        assert_eq!(open(&streams), []);
    }

    #[test]
    fn turns_pass_between_client_and_server() {
        let mut streams = Streams::new();
        streams.client_turn(1, 10);
        streams.client_turn(2, 20);
        assert!(streams.reads_slowly(|since| since <= 10));
        streams.client_turn(1, 30);
        assert!(!streams.reads_slowly(|since| since <= 10));
        streams.server_turn(2);
        assert!(!streams.reads_slowly(|since| since <= 20));
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
