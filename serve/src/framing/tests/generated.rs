//! What holds of every stream: valid ones, valid ones with something broken, and noise.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{naive, read};

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
