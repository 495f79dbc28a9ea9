//! Examples of each rule, whole and byte by byte.

use super::{LIMITS, read};
use crate::framing::{FramingGuard, Stage, Violation};

#[track_caller]
fn refuses(stream: &str, violation: Violation) {
    assert_eq!(read(stream.as_bytes(), &[]).2, Some(violation), "{stream:?}");
    let every: Vec<usize> = (0..stream.len()).collect();
    assert_eq!(read(stream.as_bytes(), &every).2, Some(violation), "byte by byte: {stream:?}");
}

#[track_caller]
fn passes(stream: &str) {
    assert_eq!(read(stream.as_bytes(), &[]), (stream.len(), 1, None), "{stream:?}");
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    get("Transfer-Encoding: chunked\r\n") + body
}

#[test]
fn plain_requests_pass() {
    // A newer minor version is read as the newest one known.
    passes("GET / HTTP/1.2\r\nHost: a\r\n\r\n");
    passes(&get(""));
    passes(&get("Accept: */*\r\nX:\r\nX-Tab: a\tb\r\nX-Old: caf\u{e9}\r\n"));
    passes("GET / HTTP/1.0\r\n\r\n");
    passes("\r\nGET / HTTP/1.1\r\nhost:a\r\n\r\n");
    passes("OPTIONS * HTTP/1.1\r\nHost: a:80\r\n\r\n");
    passes("GET http://b/c?d HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    passes("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    passes(&(get("Content-Length:  3 \r\n") + "abc"));
    passes(&get("Content-Length: 0\r\n"));
    passes(&chunked("3\r\nabc\r\n00A;x=\"y z\" ;q\r\n0123456789\r\n0\r\nDigest: x\r\n\r\n"));
    passes(&chunked("0\r\n\r\n").replace("chunked", "CHUNKED"));
}

#[test]
fn ambiguous_lengths_are_refused() {
    refuses(&get("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), Violation::BothLengths);
    refuses(&get("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), Violation::BothLengths);
    refuses(&get("Content-Length: 4\r\nContent-Length: 4\r\n"), Violation::RepeatedContentLength);
    for bad in ["", "+4", "-4", "4,4", "4 4", "0x4", "4.0", "99999999999999999999", "four"] {
        refuses(&get(&format!("Content-Length: {bad}\r\n")), Violation::ContentLength);
    }
    for bad in [
        "",
        "identity",
        "gzip, chunked",
        "chunked, chunked",
        "chunked;q=1",
        "xchunked",
        "chunked,",
        "\"chunked\"",
        "chunk\ted",
    ] {
        refuses(&get(&format!("Transfer-Encoding: {bad}\r\n")), Violation::TransferEncoding);
    }
    let twice = "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n";
    refuses(&get(twice), Violation::TransferEncoding);
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refuses(old, Violation::EncodingInOldVersion);
    refuses(&get("Content_Length: 4\r\n"), Violation::FieldName);
    refuses(&get("Transfer_Encoding: chunked\r\n"), Violation::FieldName);
}

#[test]
fn lines_that_two_readers_could_split_in_two_ways_are_refused() {
    refuses("GET / HTTP/1.1\nHost: a\r\n\r\n", Violation::BareLineFeed);
    refuses(&get("X: a\nY: b\r\n"), Violation::BareLineFeed);
    refuses("GET / HTTP/1.1\r\nHost: a\r\n\n", Violation::BareLineFeed);
    refuses(&get("X: a\rY: b\r\n"), Violation::ControlCharacter);
    refuses(&get("X: a\0\r\n"), Violation::ControlCharacter);
    refuses(&get("X: a\x7f\r\n"), Violation::ControlCharacter);
    refuses(&get("X: a\r\r\n"), Violation::ControlCharacter);
    refuses(&get("X: a\r\n b\r\n"), Violation::Folding);
    refuses(&get("X: a\r\n\tb: c\r\n"), Violation::Folding);
    refuses(&get("X : a\r\n"), Violation::SpaceBeforeColon);
    refuses(&get("Transfer-Encoding\t: chunked\r\n"), Violation::SpaceBeforeColon);
    for bad in ["nothing", ": a", "X(: a", "\u{e9}: a"] {
        refuses(&get(&format!("{bad}\r\n")), Violation::FieldName);
    }
    for bad in ["X\u{b}: a", "X\0: a", "X\rY: a", "Transfer-Encoding:\u{b}chunked"] {
        refuses(&get(&format!("{bad}\r\n")), Violation::ControlCharacter);
    }
}

#[test]
fn hosts_are_one_and_well_formed() {
    refuses("GET / HTTP/1.1\r\n\r\n", Violation::HostCount);
    refuses(&get("Host: a\r\n"), Violation::HostCount);
    refuses("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Violation::HostCount);
    refuses("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Violation::HostValue);
    refuses("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Violation::HostValue);
    refuses("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", Violation::HostValue);
    refuses("GET / HTTP/1.1\r\nHost: \r\n\r\n", Violation::HostValue);
}

#[test]
fn malformed_request_lines_are_refused() {
    for bad in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/11",
        "G(T / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\\ HTTP/1.1",
        "GET HTTP/1.1",
        "CONNECT / HTTP/1.1",
        " GET / HTTP/1.1",
        "\r\n",
        "\x16\x03\x01",
        "GETTTTTTTTTTTTTTTTTTTTTTTTTTTTTTTT / HTTP/1.1",
    ] {
        refuses(&format!("{bad}\r\nHost: a\r\n\r\n"), Violation::RequestLine);
    }
    for bad in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
        refuses(&format!("GET / {bad}\r\nHost: a\r\n\r\n"), Violation::Version);
    }
    refuses("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::BareLineFeed);
    refuses("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::BareLineFeed);
}

#[test]
fn what_can_begin_no_request_is_refused_at_its_first_byte() {
    assert_eq!(read(b"\x16", &[]).2, Some(Violation::RequestLine));
    assert_eq!(read(b"G", &[]).2, None);
}

#[test]
fn heads_over_their_limits_are_refused_before_they_end() {
    let target = "/".repeat(LIMITS.target_bytes);
    passes(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    refuses(&format!("GET {target}/ HTTP/1.1\r\nHost: a\r\n\r\n"), Violation::TargetTooLong);
    assert_eq!(read(&vec![b'a'; 400], &[]).2, Some(Violation::TargetTooLong));

    let exact = |bytes: usize| get(&format!("X: {}\r\n", "a".repeat(bytes - get("X: \r\n").len())));
    passes(&exact(LIMITS.head_bytes));
    refuses(&exact(LIMITS.head_bytes + 1), Violation::HeadTooLarge);
    let endless = exact(LIMITS.head_bytes + 100);
    assert_eq!(
        read(&endless.as_bytes()[..LIMITS.head_bytes], &[]).2,
        Some(Violation::HeadTooLarge)
    );

    passes(&get(&"X: a\r\n".repeat(LIMITS.headers - 1)));
    refuses(&get(&"X: a\r\n".repeat(LIMITS.headers)), Violation::HeadTooLarge);
}

#[test]
fn malformed_chunks_and_trailers_are_refused() {
    for bad in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1 \r\n",
        " 1\r\n",
        "1\n",
        "1;a\x01\r\n",
        "1;a\rb\r\n",
        "1 a\r\n",
        "1,\r\n",
        "0000000000000001\r\n",
        "1\r\r\n",
    ] {
        refuses(&chunked(bad), Violation::ChunkSize);
    }
    refuses(&chunked(&format!("1;{}\r\na\r\n", "x".repeat(300))), Violation::ChunkSize);
    refuses(&chunked("3\r\nabcd\r\n0\r\n\r\n"), Violation::ChunkEnd);
    refuses(&chunked("3\r\nabc\n0\r\n\r\n"), Violation::ChunkEnd);
    for bad in [
        "X a\r\n",
        "Host: a\r\n",
        "Content-Length: 1\r\n",
        "transfer-encoding: chunked\r\n",
        "X: a\0\r\n",
        "X: a\n",
        " X: a\r\n",
        "X : a\r\n",
    ] {
        refuses(&chunked(&format!("0\r\n{bad}\r\n")), Violation::Trailer);
    }
    refuses(&chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(9000))), Violation::Trailer);
    refuses(&chunked(&format!("0\r\n{}\r\n", "X: a\r\n".repeat(33))), Violation::Trailer);
}

#[test]
fn the_stage_follows_the_bytes() {
    let mut guard = FramingGuard::new(LIMITS);
    assert_eq!(guard.stage(), Stage::Between);
    // An empty line is no request yet: the client owes nothing.
    let _ = guard.advance(b"\r\n");
    assert_eq!(guard.stage(), Stage::Between);
    let _ = guard.advance(b"\r\nP");
    assert_eq!(guard.stage(), Stage::Head);
    let request = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab";
    let progress = guard.advance(request);
    assert_eq!((progress.passed, progress.heads, progress.body), (request.len(), 1, 2));
    assert_eq!(guard.stage(), Stage::Body);
    let _ = guard.advance(b"c");
    assert_eq!(guard.stage(), Stage::Between);
}

/// What the parser behind would trip over itself does not pass the guard.
#[test]
fn targets_that_pass_are_targets_to_the_parser_behind() {
    for byte in 0x21..0x7f_u8 {
        let target = format!("/a{0}?b{0}", char::from(byte));
        let stream = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        if read(stream.as_bytes(), &[]).2.is_none() {
            assert!(target.parse::<http::Uri>().is_ok(), "{target}");
        }
    }
}
