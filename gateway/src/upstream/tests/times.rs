//! Time-outs.
use tokio::time::Instant;

use super::*;

/// How long until the error, and the error; checked to be within a tick of `limit`.
async fn fails_after(limit: Duration, error: impl Future<Output = BoxError>) -> BoxError {
    let begun = Instant::now();
    let error = error.await;
    let took = begun.elapsed();
    // The clock of tests moves in whole milliseconds.
    assert!(took >= limit && took <= limit + TICK * 2, "{took:?}");
    error
}

#[test]
fn an_upstream_that_never_answers_is_given_up() {
    run(async {
        let upstream = upstream([vec![Step::Take, Step::SeeClosed]]).await;
        let mut endpoint = client().endpoint(&upstream.node).for_reads();
        let limit = Settings::default().head_timeout;
        let error = fails_after(limit, async { endpoint.call(get("/")).await.unwrap_err() }).await;
        // It was taken, so it does not come back.
        let error = error.downcast_ref::<UpstreamError>().unwrap();
        assert!(matches!(error, UpstreamError::TimedOut(after) if *after == limit));
        settle().await;
        assert!(upstream.seen.take().concat().ends_with("<closed>"));
    });
}

#[test]
fn a_head_that_trickles_in_is_given_up_as_well() {
    run(async {
        let mut steps = vec![Step::Take, say("HTTP/1.1 200 OK\r\n")];
        for _ in 0..100 {
            steps.extend([Step::Wait(Duration::from_secs(1)), say("a: b\r\n")]);
        }
        let upstream = upstream([steps]).await;
        let mut endpoint = client().endpoint(&upstream.node);
        let limit = Settings::default().head_timeout;
        fails_after(limit, async { endpoint.call(get("/")).await.unwrap_err() }).await;
    });
}

#[test]
fn a_slow_answer_within_the_limit_is_an_answer() {
    run(async {
        let wait = Step::Wait(Duration::from_secs(29));
        let head = say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
        let steps = vec![Step::Take, wait.clone(), head, wait.clone(), say("a"), wait, say("b")];
        let upstream = upstream([steps]).await;
        assert_eq!(content(client().endpoint(&upstream.node), get("/")).await.unwrap(), "ab");
    });
}

#[test]
fn a_body_that_stops_is_given_up() {
    run(async {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na";
        let upstream = upstream([vec![Step::Take, say(half), Step::SeeClosed]]).await;
        let endpoint = client().endpoint(&upstream.node);
        let limit = Settings::default().body_timeout;
        let error =
            fails_after(limit, async { content(endpoint, get("/")).await.unwrap_err() }).await;
        assert!(matches!(UpstreamError::find(&*error), Some(UpstreamError::BodyTimedOut(_))));
    });
}

#[test]
fn a_client_that_takes_its_time_is_not_the_upstreams_fault() {
    run(async {
        let slow = Duration::from_secs(100);
        let head = say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na");
        let steps = vec![Step::Take, head, Step::Wait(TICK), say("b"), Step::Take, ok("c")];
        let upstream = upstream([steps]).await;
        let mut endpoint = client().endpoint(&upstream.node);
        let mut body = endpoint.call(get("/")).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        // The rest is waited for, but nobody looks again for long.
        assert!(futures_util::FutureExt::now_or_never(body.frame()).is_none());
        sleep(slow).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "b");

        // The same with a request: its body comes late, but the upstream answers in time.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let body = async move { receiver.await.unwrap() };
        let body = http_body_util::StreamBody::new(futures_util::stream::once(async move {
            Ok::<_, Infallible>(Frame::data(body.await))
        }));
        let request = Request::post("/").body(Body::streaming(Box::pin(body))).unwrap();
        let answer = tokio::task::spawn_local(endpoint.call(request));
        sleep(slow).await;
        sender.send(Bytes::from_static(b"late")).unwrap();
        assert!(answer.await.unwrap().is_ok());
    });
}

#[test]
fn an_upstream_that_does_not_accept_is_given_up_and_the_request_comes_back() {
    run(async {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        // Fills the queue, so that the next attempt is left without an answer.
        let _queued: Vec<_> = (0..2)
            .map_while(|_| std::net::TcpStream::connect_timeout(&address, TICK).ok())
            .collect();
        let node = Node::new(address.to_string(), HealthConfig::default());
        let mut endpoint = client().endpoint(&node);
        let limit = Settings::default().connect_timeout;
        let error =
            fails_after(limit, async { endpoint.call(post(small())).await.unwrap_err() }).await;
        assert!(matches!(UpstreamError::find(&*error), Some(UpstreamError::ConnectTimedOut(_))));
        assert!(error.is::<kamaitachi_layers::retry::HandedBack>());
    });
}

#[test]
fn an_upstream_that_stops_taking_the_request_is_given_up() {
    run(async {
        let upstream = upstream([vec![Step::TakeHead, Step::Wait(Duration::from_secs(60))]]).await;
        let mut endpoint = client().endpoint(&upstream.node);
        let body = Body::buffered("x".repeat(20_000_000).into());
        let limit = Settings::default().head_timeout;
        let error =
            fails_after(limit, async { endpoint.call(post(body)).await.unwrap_err() }).await;
        assert!(matches!(UpstreamError::find(&*error), Some(UpstreamError::TimedOut(_))));
    });
}
