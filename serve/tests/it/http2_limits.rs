//! What one HTTP/2 client may take.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use kamaitachi_serve::limits::Limits;
use tokio::io::AsyncWriteExt as _;

use crate::support::{BLOCK, start, until};

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// What opens a connection with windows that never close, and asks for `/held` on so many streams.
fn ask(streams: u8) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    bytes.extend(frame(8, 0, 0, &[0x7f, 0, 0, 0]));
    for stream in 0..streams {
        // :method GET, :scheme http, :path /held, :authority a
        let fields = b"\x82\x86\x04\x05/held\x01\x01a";
        bytes.extend(frame(1, 5, 2 * stream + 1, fields));
    }
    bytes
}

#[tokio::test]
async fn the_answers_of_one_connection_share_what_may_be_held() {
    const STREAMS: usize = 50;
    let limits = Limits::default();
    let room = limits.http2.send_buffer;
    let server = start(limits);
    let mut client = server.connect().await;
    client.0.write_all(&ask(u8::try_from(STREAMS).unwrap())).await.unwrap();
    // Nothing is read: the sockets fill up, then the server.
    let held = || server.seen.held.load(SeqCst);
    until(|| held() >= STREAMS).await;
    let mut before = usize::MAX;
    while before != held() {
        before = held();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // Each may hold one, and all of them the room; one more of it is cut at the limit.
    assert!(held() <= STREAMS + room / BLOCK + 1, "{} blocks", held());
}
