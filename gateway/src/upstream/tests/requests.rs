//! How requests reach the upstream.
use kamaitachi_layers::retry::HandedBack;

use super::*;

async fn sent(request: Request<Body<Pieces>>) -> String {
    let upstream = upstream([vec![Step::Take, ok("")]]).await;
    content(client().endpoint(&upstream.node), request).await.unwrap();
    upstream.seen.take().concat()
}

#[test]
fn a_body_in_memory_goes_with_its_length() {
    run(async {
        assert_eq!(
            sent(post(small())).await,
            "POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"
        );
        let long = "x".repeat(2_000_000);
        let got = sent(post(Body::buffered(long.clone().into()))).await;
        assert!(
            got == format!("POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 2000000\r\n\r\n{long}")
        );
    });
}

#[test]
fn a_streaming_body_goes_in_chunks_or_with_the_length_it_announced() {
    run(async {
        let pieces = || Pieces::new([Ok("abc"), Ok(""), Ok("0123456789abcdef")]);
        assert_eq!(
            sent(post(Body::streaming(pieces()))).await,
            "POST /p HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n\
             3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
        );
        assert_eq!(
            sent(post(Body::streaming(pieces().announcing(19)))).await,
            "POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 19\r\n\r\nabc0123456789abcdef"
        );
    });
}

#[test]
fn a_body_that_breaks_off_is_never_complete_for_the_upstream() {
    run(async {
        for body in [
            Pieces::new([Ok("abc"), Err("gone")]),
            Pieces::new([Ok("abc"), Err("gone")]).announcing(6),
            Pieces::new([Ok("abc")]).announcing(6),
            Pieces::new([Ok("abc"), Ok("defg")]).announcing(6),
        ] {
            let upstream = upstream([vec![Step::SeeClosed]]).await;
            let endpoint = client().endpoint(&upstream.node);
            let error = content(endpoint, post(Body::streaming(body))).await.unwrap_err();
            let found = UpstreamError::find(&*error).unwrap();
            assert!(matches!(found, UpstreamError::RequestBody(_)), "{found:?}");
            settle().await;
            let seen = upstream.seen.take().concat();
            let (head, body) = seen.split_once("\r\n\r\n").unwrap();
            if head.contains("chunked") {
                assert_eq!(body, "3\r\nabc\r\n<closed>");
            } else {
                assert_eq!((body, head.contains("length: 6")), ("abc<closed>", true));
            }
            assert!(upstream.node.health().is_up(), "not the node's fault");
        }
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_counts_and_ends_the_connection() {
    run(async {
        let steps = vec![Step::TakeHead, ok("enough"), Step::SeeClosed];
        let upstream = upstream([steps]).await;
        let body = Body::streaming(Pieces::new([Ok("abc")]).hanging());
        let endpoint = client().endpoint(&upstream.node);
        assert_eq!(content(endpoint, post(body)).await.unwrap(), "enough");
        settle().await;
        assert!(upstream.seen.take().concat().ends_with("<closed>"));
    });
}

#[test]
fn an_answer_is_read_even_if_the_upstream_takes_no_more() {
    run(async {
        let steps = vec![
            Step::TakeHead,
            say("HTTP/1.1 413 Too Much\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"),
        ];
        let upstream = upstream([steps]).await;
        let body = Body::buffered("x".repeat(20_000_000).into());
        let endpoint = client().endpoint(&upstream.node);
        assert_eq!(content(endpoint, post(body)).await.unwrap(), "no");
    });
}

/// The request that came back with the error.
fn handed_back(error: BoxError) -> (Request<Bytes>, UpstreamError) {
    let (request, error) = error.downcast::<HandedBack>().expect("handed back").into_parts();
    (request, *error.downcast().unwrap())
}

#[test]
fn a_request_that_nobody_took_comes_back_whole() {
    run(async {
        // Bound, so that nobody else is there, but not listening.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let node = Node::new(socket.local_addr().unwrap().to_string(), HealthConfig::default());
        let mut endpoint = client().endpoint(&node);
        let mut request = post(small());
        request.extensions_mut().insert(7_u8);
        let (request, error) = handed_back(endpoint.call(request).await.unwrap_err());
        assert!(matches!(error, UpstreamError::Connect(_)), "{error:?}");
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/p"));
        assert_eq!(
            (&request.headers()["host"], &request.body()[..]),
            (&"h".parse().unwrap(), &b"{}"[..])
        );
        assert_eq!(request.extensions().get(), Some(&7_u8));

        let streaming = post(Body::streaming(Pieces::new([Ok("abc")])));
        let error = endpoint.call(streaming).await.unwrap_err();
        assert!(error.downcast_ref::<UpstreamError>().unwrap().is_not_taken());
    });
}

#[test]
fn a_fresh_connection_that_ends_in_silence_hands_back_reads_only() {
    run(async {
        for end in [vec![Step::Take], vec![Step::Take, Step::Reset]] {
            let upstream = upstream([end.clone(), end]).await;
            let endpoint = client().endpoint(&upstream.node);
            let error = endpoint.clone().for_reads().call(post(small())).await.unwrap_err();
            let (request, error) = handed_back(error);
            assert!(matches!(error, UpstreamError::ClosedBeforeResponse(_)), "{error:?}");
            assert_eq!(request.body(), "{}");

            let error = endpoint.clone().call(post(small())).await.unwrap_err();
            assert!(error.downcast_ref::<UpstreamError>().is_some(), "{error:?}");
            assert_eq!(upstream.node.totals().opened, 2, "none was sent twice");
        }
    });
}

#[test]
fn names_are_resolved() {
    run(async {
        let upstream = upstream([vec![Step::Take, ok("found")]]).await;
        let port = upstream.node.name().rsplit_once(':').unwrap().1;
        let node = Node::new(format!("localhost:{port}"), HealthConfig::default());
        tokio::time::resume();
        assert_eq!(content(client().endpoint(&node), get("/")).await.unwrap(), "found");
    });
}
