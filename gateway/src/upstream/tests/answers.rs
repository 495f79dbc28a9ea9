//! What is made of an upstream's answers.
use http::{StatusCode, Version};
use http_body::Body as _;
use proptest::prelude::*;

use super::*;

#[test]
fn a_whole_answer_is_one_piece_of_known_length() {
    run(async {
        let response = answer(
            "HTTP/1.1 201 Made\r\nContent-Type: text/plain\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc",
        );
        let response = response.await.unwrap();
        assert_eq!(
            (response.status(), response.version()),
            (StatusCode::CREATED, Version::HTTP_11)
        );
        let all: Vec<_> = response.headers().get_all("x-a").iter().collect();
        assert_eq!(all, ["1", "2"]);
        assert_eq!(response.headers()["content-type"], "text/plain");
        assert!(!response.headers().contains_key("content-length"), "the body says it");
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(3));
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        assert!(body.is_end_stream() && body.frame().await.is_none());
    });
}

#[test]
fn answers_may_come_byte_by_byte_behind_interim_ones() {
    run(async {
        let said = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                    HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nt: u\r\n\r\n";
        let steps = vec![Step::Take, Step::Drip(said.into()), Step::Take, ok("next")];
        let upstream = upstream([steps]).await;
        let endpoint = client().endpoint(&upstream.node);
        assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "abcde");
        assert_eq!(content(endpoint, get("/")).await.unwrap(), "next");
        assert_eq!(upstream.node.totals().opened, 1);
    });
}

#[test]
fn some_answers_have_no_body_whatever_their_fields_say() {
    run(async {
        for (method, said) in [
            (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
            (Method::HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
            (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
            (Method::GET, "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n"),
            (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ] {
            let upstream = upstream([vec![Step::Take, say(said), Step::Take, ok("next")]]).await;
            let endpoint = client().endpoint(&upstream.node);
            let mut request = get("/");
            *request.method_mut() = method.clone();
            let response = endpoint.clone().call(request).await.unwrap();
            assert!(response.body().is_end_stream(), "{said}");
            let keeps_length = response.headers().contains_key("content-length");
            let may_have_one =
                said.contains("length") && response.status() != StatusCode::NO_CONTENT;
            assert_eq!(keeps_length, may_have_one, "{said}");
            assert_eq!(content(endpoint, get("/")).await.unwrap(), "next");
            assert_eq!(upstream.node.totals().opened, 1);
        }
    });
}

#[test]
fn doubtful_framing_is_refused() {
    run(async {
        for (fields, expected) in [
            ("content-length: 3\r\ntransfer-encoding: chunked", BadResponse::TransferEncoding),
            ("transfer-encoding: gzip, chunked", BadResponse::TransferEncoding),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                BadResponse::TransferEncoding,
            ),
            ("transfer-encoding: identity", BadResponse::TransferEncoding),
            ("transfer-encoding:", BadResponse::TransferEncoding),
            ("content-length: 3\r\ncontent-length: 3", BadResponse::ContentLength),
            ("content-length: 3, 3", BadResponse::ContentLength),
            ("content-length: +3", BadResponse::ContentLength),
            ("content-length: 0x3", BadResponse::ContentLength),
            ("content-length: -1", BadResponse::ContentLength),
            ("content-length:", BadResponse::ContentLength),
            ("content-length: 18446744073709551616", BadResponse::ContentLength),
            ("a b: c", BadResponse::Head),
            ("content-length : 3", BadResponse::Head),
            (" folded: 3", BadResponse::Head),
            ("a: b\r\n folded", BadResponse::Head),
            ("a: b\n\nc: d", BadResponse::Head),
            ("a: \0", BadResponse::Head),
        ] {
            let said = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nabc");
            assert_eq!(bad(answer(said).await), expected, "{fields}");
        }
        let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(bad(answer(old).await), BadResponse::TransferEncoding);
    });
}

#[test]
fn what_is_no_answer_is_refused() {
    run(async {
        for (said, expected) in [
            ("nonsense\r\n\r\n".to_owned(), BadResponse::Head),
            ("\r\n\r\n".to_owned(), BadResponse::Head),
            ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), BadResponse::Head),
            ("HTTP/1.1 99 Low\r\n\r\n".to_owned(), BadResponse::Head),
            ("HTTP/1.1 20 Short\r\n\r\n".to_owned(), BadResponse::Head),
            (
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_owned(),
                BadResponse::Switch,
            ),
            ("HTTP/1.1 100 Go On\r\n\r\n".repeat(9), BadResponse::TooManyInterim(8)),
            (
                format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)),
                BadResponse::TooManyFields(100),
            ),
            (
                format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(33_000)),
                BadResponse::HeadTooLarge(32_768),
            ),
            (
                format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(33_000)),
                BadResponse::HeadTooLarge(32_768),
            ),
        ] {
            assert_eq!(bad(answer(&said).await), expected, "{}", &said[..said.len().min(60)]);
        }
        let most = format!("HTTP/1.1 204 OK\r\n{}\r\n", "a: b\r\n".repeat(100));
        assert_eq!(answer(most).await.unwrap().headers().len(), 100);
    });
}

#[test]
fn a_cut_answer_is_an_error_wherever_it_is_cut() {
    run(async {
        for whole in [
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n",
        ] {
            for cut in 1..whole.len() {
                let upstream = upstream([vec![Step::Take, say(&whole[..cut])]]).await;
                let got = content(client().endpoint(&upstream.node), get("/")).await;
                let error = got.expect_err(&whole[..cut]);
                let found = UpstreamError::find(&*error);
                assert!(matches!(found, Some(UpstreamError::Truncated)), "{found:?}");
            }
        }
    });
}

#[test]
fn a_reset_in_the_middle_is_an_error() {
    run(async {
        let steps = vec![
            Step::Take,
            say("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc"),
            Step::Wait(TICK),
            Step::Reset,
        ];
        let upstream = upstream([steps]).await;
        let error = content(client().endpoint(&upstream.node), get("/")).await.unwrap_err();
        assert!(matches!(UpstreamError::find(&*error), Some(UpstreamError::Read(_))), "{error:?}");
    });
}

#[test]
fn a_bad_chunk_ends_the_body_with_an_error() {
    run(async {
        let said = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n";
        let mut body = answer(said).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, UpstreamError::BadResponse(BadResponse::Chunk)));
        assert!(body.frame().await.is_none());
    });
}

#[test]
fn an_answer_without_a_length_ends_with_its_connection() {
    run(async {
        for version in ["1.0", "1.1"] {
            let script = vec![Step::Take, say(format!("HTTP/{version} 200 OK\r\n\r\nabc"))];
            let upstream = upstream([script.clone(), script]).await;
            let endpoint = client().endpoint(&upstream.node);
            for _ in 0..2 {
                assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), "abc");
            }
            assert_eq!(upstream.node.totals().closed_for(Closed::LastAnswer), 2);
        }
    });
}

#[test]
fn a_long_answer_is_passed_on_as_it_comes() {
    run(async {
        let long = "0123456789abcdef".repeat(64 * 1024);
        let upstream = upstream([vec![Step::Take, ok(&long), Step::Take, ok("next")]]).await;
        let endpoint = client().endpoint(&upstream.node);
        assert!(content(endpoint.clone(), get("/")).await.unwrap() == long);
        assert_eq!(content(endpoint, get("/")).await.unwrap(), "next");
        assert_eq!(upstream.node.totals().opened, 1);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_answer_cut_into_any_pieces_is_the_same(
        chunks in prop::collection::vec("[a-z]{1,30}", 0..4),
        chunked in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let expected = chunks.concat();
        let said = if chunked {
            let body: String =
                chunks.iter().map(|chunk| format!("{:X}\r\n{chunk}\r\n", chunk.len())).collect();
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n")
        } else {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{expected}", expected.len())
        };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(said.len())).collect();
        cuts.sort_unstable();
        let mut script = vec![Step::Take];
        let mut from = 0;
        for cut in cuts.into_iter().chain([said.len()]) {
            script.extend([say(&said[from..cut]), Step::Wait(Duration::from_millis(1))]);
            from = cut;
        }
        script.extend([Step::Take, ok("next")]);
        run(async move {
            let upstream = upstream([script]).await;
            let endpoint = client().endpoint(&upstream.node);
            assert_eq!(content(endpoint.clone(), get("/")).await.unwrap(), expected);
            assert_eq!(content(endpoint, get("/")).await.unwrap(), "next");
            assert_eq!(upstream.node.totals().opened, 1);
        });
    }

    #[test]
    fn noise_is_an_error_or_an_answer_but_never_a_panic(
        noise in prop::collection::vec(any::<u8>(), 0..120),
        after in prop::sample::select(vec!["", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n"]),
    ) {
        run(async move {
            let said = [after.as_bytes(), &noise, b"\r\n\r\n"].concat();
            let upstream = upstream([vec![Step::Take, say(said)]]).await;
            drop(content(client().endpoint(&upstream.node), get("/")).await);
        });
    }
}
