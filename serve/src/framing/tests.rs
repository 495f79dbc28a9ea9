//! The guard against examples, against a naive reading of the whole stream, and against noise.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const LIMITS: FramingLimits = FramingLimits { head_bytes: 2048, headers: 20, target_bytes: 256 };

/// Shows the stream in the pieces that `cuts` makes; gives what passed in all, heads, violation.
fn read(stream: &[u8], cuts: &[usize]) -> (usize, usize, Option<Violation>) {
    let mut guard = FramingGuard::new(LIMITS);
    let (mut passed, mut heads) = (0, 0);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(stream.len());
    for end in ends {
        if end < passed {
            continue;
        }
        let progress = guard.advance(&stream[passed..end]);
        passed += progress.passed;
        heads += progress.heads;
        if let Some(violation) = progress.violation {
            // It is said again, and nothing passes after it.
            let again = guard.advance(&stream[passed..]);
            assert_eq!((again.passed, again.violation), (0, Some(violation)));
            return (passed, heads, Some(violation));
        }
    }
    (passed, heads, None)
}

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
    for bad in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.1"] {
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

/// A reading of the whole stream with no thought of speed or of cuts.
mod naive {
    use super::LIMITS;

    fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let end = rest.iter().position(|b| *b == b'\n')?;
        let line = &rest[..=end];
        *rest = &rest[end + 1..];
        Some(line)
    }

    fn token(bytes: &[u8]) -> bool {
        let ok = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        !bytes.is_empty() && bytes.iter().all(ok)
    }

    fn printable(bytes: &[u8]) -> bool {
        bytes.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
    }

    fn field(line: &[u8]) -> Option<(String, String)> {
        let colon = line.iter().position(|b| *b == b':')?;
        if !token(&line[..colon]) || !printable(line) {
            return None;
        }
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        let value: String = line[colon + 1..].iter().map(|b| char::from(*b)).collect();
        let framing = ["content_length", "transfer_encoding"].contains(&name.as_str());
        (!framing).then(|| (name, value.trim_matches([' ', '\t']).to_owned()))
    }

    fn is_host(value: &str) -> bool {
        let (host, port) = value.split_once(':').unwrap_or((value, ""));
        host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&b))
            && port.len() <= 5
            && port.bytes().all(|b| b.is_ascii_digit())
    }

    /// Whether the stream is well-formed requests; `None` where it ends inside one.
    pub(super) fn accepts(mut rest: &[u8]) -> Option<bool> {
        while !rest.is_empty() {
            if !request(&mut rest)? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// `None` where the stream ends before the request does.
    fn request(rest: &mut &[u8]) -> Option<bool> {
        if rest.starts_with(b"\r\n") {
            *rest = &rest[2..];
        }
        let whole = *rest;
        let mut fields = Vec::new();
        let first = line(rest)?;
        loop {
            let line = line(rest)?;
            if line == b"\r\n" {
                break;
            }
            fields.push(line);
        }
        let head = whole.len() - rest.len();
        let Some(first) = first.strip_suffix(b"\r\n") else { return Some(false) };
        let parts: Vec<&[u8]> = first.split(|b| *b == b' ').collect();
        let [method, target, version] = parts[..] else { return Some(false) };
        let ok_target = |b: &u8| b.is_ascii_graphic() && !b"#\"<>\\^`".contains(b);
        if !token(method) || target.is_empty() || !target.iter().all(ok_target) {
            return Some(false);
        }
        let old = version == b"HTTP/1.0";
        if !(old || version == b"HTTP/1.1") || fields.len() > LIMITS.headers || target[0] != b'/' {
            return Some(false);
        }
        let parsed: Option<Vec<_>> =
            fields.iter().map(|line| line.strip_suffix(b"\r\n").and_then(field)).collect();
        let Some(parsed) = parsed else { return Some(false) };
        let all = |name: &str| -> Vec<&str> {
            parsed.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
        };
        let (hosts, lengths) = (all("host"), all("content-length"));
        let encodings = all("transfer-encoding");
        let host = hosts.len() == 1 || (old && hosts.is_empty());
        if !host || !hosts.iter().all(|host| is_host(host)) {
            return Some(false);
        }
        if head > LIMITS.head_bytes || lengths.len() + encodings.len() > 1 {
            return Some(false);
        }
        match (lengths.first(), encodings.first()) {
            (Some(length), _) if length.bytes().all(|b| b.is_ascii_digit()) => {
                let Ok(length) = length.parse::<usize>() else { return Some(false) };
                *rest = rest.get(length..)?;
                Some(true)
            }
            (None, Some(coding)) if !old && coding.eq_ignore_ascii_case("chunked") => chunks(rest),
            (None, None) => Some(true),
            _ => Some(false),
        }
    }

    fn chunks(rest: &mut &[u8]) -> Option<bool> {
        loop {
            let line = line(rest)?;
            let Some(line) = line.strip_suffix(b"\r\n") else { return Some(false) };
            let digits: String =
                line.iter().map(|b| char::from(*b)).take_while(char::is_ascii_hexdigit).collect();
            let extension = &line[digits.len()..];
            let blank = |b: &u8| b" \t".contains(b);
            let semicolon = extension.iter().find(|b| !blank(b)) == Some(&b';');
            let Ok(size) = usize::from_str_radix(&digits, 16) else { return Some(false) };
            if !(extension.is_empty() || semicolon) || !printable(extension) || digits.len() > 15 {
                return Some(false);
            }
            if size == 0 {
                return trailers(rest);
            }
            let end = rest.get(size..)?;
            if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
                return Some(false);
            }
            *rest = end.get(2..)?;
        }
    }

    fn trailers(rest: &mut &[u8]) -> Option<bool> {
        loop {
            let line = line(rest)?;
            if line == b"\r\n" {
                return Some(true);
            }
            let framing = ["host", "content-length", "transfer-encoding"];
            match line.strip_suffix(b"\r\n").and_then(field) {
                Some((name, _)) if !framing.contains(&name.as_str()) => {}
                _ => return Some(false),
            }
        }
    }
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let field = ("[a-zA-Z][a-zA-Z0-9-]{0,12}", "[ -~]{0,30}")
        .prop_map(|(name, value)| format!("X-{name}: {value}\r\n"));
    let body = prop_oneof![
        Just((String::new(), Vec::new())),
        vec(any::<u8>(), 0..80).prop_map(|b| (format!("Content-Length: {}\r\n", b.len()), b)),
        chunked_body().prop_map(|b| ("Transfer-Encoding: chunked\r\n".to_owned(), b)),
    ];
    let target = "/[a-zA-Z0-9/?=&%.~-]{0,40}";
    let method = select(vec!["GET", "POST", "DELETE", "M-SEARCH"]);
    (method, target, vec(field, 0..6), 0..6_usize, body, any::<bool>()).prop_map(
        |(method, target, mut fields, place, (framing, body), empty_line)| {
            fields.insert(place.min(fields.len()), "Host: example\r\n".to_owned());
            fields.insert(place.min(fields.len()), framing);
            let before = if empty_line { "\r\n" } else { "" };
            let head = format!("{before}{method} {target} HTTP/1.1\r\n{}\r\n", fields.concat());
            [head.into_bytes(), body].concat()
        },
    )
}

fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let extension = select(vec!["", ";a", ";a=b", " ;a=\"b c\""]);
    let trailer = select(vec!["", "X-T: a\r\n", "X-T: a\r\nX-U:\r\n"]);
    let chunk = (vec(any::<u8>(), 1..40), extension).prop_map(|(data, extension)| {
        [format!("{:X}{extension}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()
    });
    (vec(chunk, 0..4), trailer).prop_map(|(chunks, trailer)| {
        [&chunks.concat()[..], b"0\r\n", trailer.as_bytes(), b"\r\n"].concat()
    })
}

/// A valid stream with a few bytes put in, taken out or changed where it hurts.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop_oneof![
        select(b"\r\n\t :;,0\0\x7f1aZ-_\x80\xff".to_vec()).prop_map(|b| vec![b]),
        select(vec![
            &b"\r\n"[..],
            b"\r\n\r\n",
            b"\n\n",
            b"Content-Length: 3\r\n",
            b"Host: b\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"HTTP/1.0",
            b"GET / HTTP/1.1\r\n",
            b"0\r\n\r\n",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let edit = (any::<prop::sample::Index>(), 0..3_usize, noise);
    (vec(request(), 1..4), vec(edit, 0..4)).prop_map(|(requests, edits)| {
        let mut stream = requests.concat();
        for (index, take, put) in edits {
            let at = index.index(stream.len());
            let end = (at + take).min(stream.len());
            stream.splice(at..end, put);
        }
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn valid_requests_pass_whole_however_they_are_cut(
        requests in vec(request(), 1..5),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let stream = requests.concat();
        prop_assert_eq!(read(&stream, &cuts), (stream.len(), requests.len(), None));
    }

    #[test]
    fn cuts_never_change_the_verdict(stream in mutated(), cuts in vec(any::<usize>(), 0..20)) {
        prop_assert_eq!(read(&stream, &cuts), read(&stream, &[]));
    }

    #[test]
    fn the_verdict_is_that_of_a_naive_reading(stream in mutated()) {
        let (_, _, violation) = read(&stream, &[]);
        // Of a request that is cut short, the naive reading knows nothing.
        if let Some(accepts) = naive::accepts(&stream) {
            let text = String::from_utf8_lossy(&stream);
            prop_assert!(violation.is_none() == accepts, "{text:?}: {violation:?}");
        }
    }

    #[test]
    fn noise_never_panics_and_never_passes_more_than_there_is(
        stream in vec(any::<u8>(), 0..300),
        cuts in vec(any::<usize>(), 0..5),
    ) {
        let (passed, _, _) = read(&stream, &cuts);
        prop_assert!(passed <= stream.len());
    }
}
