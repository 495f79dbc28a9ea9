//! Heads that are read by what is remembered, against heads that are read anew.

use http::HeaderMap;
use proptest::{collection::vec, prelude::*, sample::select};

use super::heads::{Arrived, Heads};
use crate::framing::{FramingLimits, Violation};

const LIMITS: FramingLimits = FramingLimits { head_bytes: 400, headers: 8, target_bytes: 60 };

type Outcome = Result<Option<(String, usize)>, Violation>;

/// All that is known of a head, as text.
fn told(read: Result<Option<Arrived>, Violation>) -> Outcome {
    read.map(|arrived| {
        arrived.map(|Arrived { request, framing, options, length }| {
            (format!("{request:?} {framing:?} {options:?}"), length)
        })
    })
}

fn read(heads: &mut Heads, bytes: &[u8]) -> Outcome {
    told(heads.read(bytes, &LIMITS, HeaderMap::default()))
}

/// Heads of one client: mostly the same lines, some left out, some with other values, some wrong.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => Just("GET /a HTTP/1.1\r\n"),
        3 => select(vec!["POST /b?c HTTP/1.1\r\n", "GET /a HTTP/1.0\r\n"]),
        1 => select(vec![
            "GET /a HTTP/1.1\n", "GET  /a HTTP/1.1\r\n", "GET /a HTTP/2.0\r\n", "\r\nGET /a HTTP/1.1\r\n",
            "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n", "",
            "G\u{0}T / HTTP/1.1\r\n", "GET http://[/ HTTP/1.1\r\n",
        ]),
    ];
    let line = |usual: &'static str, others: Vec<&'static str>| prop_oneof![8 => Just(usual), 2 => select(others)];
    let lines = (
        line("Host: a\r\n", vec!["Host: b\r\n", "", "Host: a,b\r\n", "Host: a\r\nHost: a\r\n"]),
        line(
            "X-One: 1\r\n",
            vec!["X-One: 2\r\n", "X-One: \u{1}\r\n", "X-One : 1\r\n", "x-one: 1\r\n"],
        ),
        line("", vec!["Content-Length: 3\r\n", "Content-Length: 3\r\nContent-Length: 3\r\n"]),
        line("", vec!["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n"]),
        line(
            "Content-Length: 12\r\n",
            vec![
                "Content-Length: 7\r\n",
                "Content-Length: +7\r\n",
                "Content-Length: 12 \r\n",
                "",
                "Content-Length:12\r\n",
                "Content_Length: 12\r\n",
                "Content-Length: 12\n",
                " folded\r\n",
            ],
        ),
        line(
            "Connection: keep-alive\r\n",
            vec!["Connection: a, close\r\n", "Expect: 100-Continue\r\n"],
        ),
        line("\r\n", vec!["X: y\r\n\r\n", "", "\r", "X:\r\n\r\nmore", "\r\nbody"]),
    );
    (first, lines).prop_map(|(first, (a, b, c, d, e, f, g))| {
        [first, a, b, c, d, e, f, g].concat().into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_came_before_changes_nothing(stream in vec(head(), 1..40), cut in any::<usize>()) {
        let mut heads = Heads::default();
        for head in stream {
            let anew = read(&mut Heads::default(), &head);
            // In two pieces, now and then.
            let first = cut % (head.len() * 3 + 1);
            if let Some(piece) = head.get(..first)
                && read(&mut heads, piece) != Ok(None)
            {
                heads = Heads::default();
                continue;
            }
            let again = read(&mut heads, &head);
            prop_assert_eq!(&again, &anew);
            if !matches!(again, Ok(Some(_))) {
                // The connection would end, or wait for more.
                heads = Heads::default();
            }
        }
    }
}

#[test]
fn a_value_that_changes_for_good_is_remembered_and_one_that_goes_is_passed_over() {
    let mut heads = Heads::default();
    let head = |one: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{one}X-Two: 2\r\n\r\n");
    for one in ["X-One: 1\r\n", "X-One: 2\r\n", "", "X-Other: 1\r\n"] {
        for _ in 0..20 {
            let head = head(one);
            let anew = read(&mut Heads::default(), head.as_bytes());
            assert_eq!(read(&mut heads, head.as_bytes()), anew);
        }
    }
}
