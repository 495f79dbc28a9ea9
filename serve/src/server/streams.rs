//! Which streams of an HTTP/2 connection are open.
//!
//! hyper drops an answer when it has handed over the last piece, of which nothing may have left.
//! What is in flight is told from the frames that pass by: from the HEADERS that open a stream to
//! the END_STREAM of the server, or the RST_STREAM of either side.

use super::frames::{Follower, GOAWAY, HEADERS, RST_STREAM};

/// Streams that are followed at a time: more than any server allows.
const MOST: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Streams {
    inbound: Follower,
    outbound: Follower,
    /// In the order in which they were opened, which is that of their numbers.
    open: Vec<u32>,
    /// The last that was opened.
    latest: u32,
    /// The last that is served.
    last: u32,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            inbound: Follower::of_client(),
            outbound: Follower::default(),
            open: Vec::new(),
            latest: 0,
            last: u32::MAX,
        }
    }

    /// The client sent `bytes`.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        let Self { inbound, open, latest, last, .. } = self;
        inbound.follow(bytes, |frame| match frame.kind {
            // Others are trailers, or nothing that is answered.
            HEADERS if frame.stream > *latest && frame.stream % 2 == 1 => {
                *latest = frame.stream;
                if frame.stream <= *last && open.len() < MOST {
                    open.push(frame.stream);
                }
            }
            RST_STREAM => end(open, frame.stream),
            _ => {}
        });
    }

    /// The server sent `bytes`.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let Self { outbound, open, last, .. } = self;
        outbound.follow(bytes, |frame| {
            if frame.ends() {
                end(open, frame.stream);
            } else if frame.kind == GOAWAY {
                *last = frame.last_stream();
                open.retain(|stream| stream <= last);
            }
        });
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// The last that was opened, 0 if none was.
    pub(super) fn latest(&self) -> u32 {
        self.latest
    }
}

/// Takes a stream from those that are open, if it is one of them.
fn end(open: &mut Vec<u32>, stream: u32) {
    if let Ok(at) = open.binary_search(&stream) {
        open.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::frames::{DATA, END_STREAM, tests::frame};

    /// The streams of a client that has opened 1, 3 and 5.
    fn three() -> Streams {
        let mut streams = Streams::new();
        streams.received(&[b'P'; 24]);
        streams.received(&[frame(4, 0, 0, 6), frame(HEADERS, 4, 1, 20)].concat());
        streams.received(&frame(HEADERS, 4 | END_STREAM, 3, 20));
        streams.received(&frame(HEADERS, 4, 5, 20));
        streams
    }

    #[test]
    fn a_stream_is_open_until_its_answer_or_a_reset_has_passed() {
        let mut streams = three();
        assert_eq!(streams.open, [1, 3, 5]);
        // The client's end is not the answer's.
        streams.received(&[frame(DATA, END_STREAM, 1, 100), frame(6, 1, 0, 8)].concat());
        streams.sent(&[frame(HEADERS, 4, 1, 9), frame(DATA, 0, 1, 30)].concat());
        assert_eq!(streams.open(), 3);
        let last = frame(DATA, END_STREAM, 1, 30);
        streams.sent(&last[..38]);
        assert_eq!(streams.open(), 3);
        streams.sent(&last[38..]);
        assert_eq!(streams.open, [3, 5]);
        streams.sent(&frame(RST_STREAM, 0, 3, 4));
        streams.received(&frame(RST_STREAM, 0, 5, 4));
        assert_eq!((streams.open(), streams.latest()), (0, 5));
    }

    #[test]
    fn trailers_open_nothing() {
        let mut streams = three();
        streams.sent(&frame(HEADERS, 4 | END_STREAM, 5, 9));
        streams.received(&frame(HEADERS, 4 | END_STREAM, 5, 20));
        assert_eq!(streams.open, [1, 3]);
    }

    #[test]
    fn a_goodbye_ends_the_streams_that_it_leaves_out() {
        let mut streams = three();
        streams.sent(&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0]);
        streams.received(&frame(HEADERS, 4, 7, 20));
        assert_eq!(streams.open, [1, 3]);
    }
}
