//! The way out.

use std::time::Duration;

use kamaitachi_serve::{limits::Limits, server::Server, shutdown::Drain};
use tokio::{net::TcpStream, time::Instant};

use crate::support::{start, start_on, until};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn idle_connections_are_closed_soon() {
    let server = start(Limits::default());
    let mut idle = server.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.response().await;
    let mut fresh = server.connect().await;
    let began = Instant::now();
    let drained = server.handle.drain(LONG).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((drained.cut, drained.panicked), (0, 0));
    assert_eq!((idle.rest().await, fresh.rest().await), (String::new(), String::new()));
}

/// A connection was closed at the very moment at which its client sent the next request, which was lost.
#[tokio::test]
async fn a_request_on_a_connection_in_use_is_answered_right_after_the_drain_began() {
    // On a busy machine a client may come too late for it, but not always.
    for _ in 0..20 {
        let server = start(Limits::default());
        let address = server.address();
        let mut used = server.connect().await;
        used.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        used.response().await;
        let draining = tokio::spawn(server.handle.drain(LONG));
        while TcpStream::connect(address).await.is_ok() {}
        used.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = used.rest().await;
        assert_eq!(draining.await.unwrap().cut, 0);
        if answer.starts_with("HTTP/1.1 200") {
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            return;
        }
    }
    panic!("no client was answered");
}

#[tokio::test]
async fn requests_in_flight_are_answered_and_told_that_the_connection_closes() {
    let server = start(Limits::default());
    let address = server.address();
    let mut busy = Vec::new();
    for _ in 0..10 {
        let mut client = server.connect().await;
        client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
        busy.push(client);
    }
    let mut upload = server.connect().await;
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    server.seen.reached(11).await;
    let seen = server.seen.clone();
    let draining = tokio::spawn(server.handle.drain(LONG));
    // Once nobody listens any more, the drain has begun.
    while TcpStream::connect(address).await.is_ok() {}
    upload.send("def").await;
    seen.open_gate(10);
    for client in &mut busy {
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    assert!(upload.rest().await.ends_with("[abcdef]"));
    assert_eq!(draining.await.unwrap().cut, 0);
}

#[tokio::test]
async fn what_waits_to_be_accepted_is_served() {
    // Bound, not started: connections wait in the kernel until the workers begin, and the drain
    // begins right after.
    let bound = Server::new(([127, 0, 0, 1], 0).into()).workers(1).bind().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let stream = TcpStream::connect(bound.local_addr()).await.unwrap();
        let mut client = crate::support::Client(stream);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        waiting.push(client);
    }
    let handle = bound
        .start(|_| {
            |_| {
                tower::service_fn(|_: http::Request<_>| async {
                    Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
                })
            }
        })
        .unwrap();
    let drained = handle.drain(LONG).await;
    assert_eq!(drained.cut, 0);
    for client in &mut waiting {
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_busy_at_the_deadline_is_cut() {
    let server = start_on(1, Limits::default());
    let mut busy = server.connect().await;
    busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.seen.reached(1).await;
    let drained = server.handle.drain(Duration::from_millis(50)).await;
    assert_eq!(drained.cut, 1);
    assert_eq!(busy.rest().await, "");
}

#[tokio::test]
async fn a_second_word_cuts_the_drain_short() {
    let server = start(Limits::default());
    let mut busy = server.connect().await;
    busy.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.seen.reached(1).await;
    let drain = Drain::new();
    drain.begin();
    let finishing = tokio::spawn({
        let drain = drain.clone();
        async move { drain.finish(server.handle, LONG).await }
    });
    drain.stop();
    assert_eq!(finishing.await.unwrap().cut, 1);
}

#[tokio::test]
async fn dropping_the_handle_stops_the_server() {
    let server = start(Limits::default());
    let (address, mut client) = (server.address(), server.connect().await);
    let counters = server.handle.counters();
    until(|| counters.open() == 1).await;
    drop(server);
    assert_eq!(client.rest().await, "");
    while TcpStream::connect(address).await.is_ok() {}
}

#[tokio::test]
async fn a_worker_that_can_not_start_fails_the_start() {
    fn unlucky(_: kamaitachi_serve::server::Connection) -> Never {
        unreachable!("no connection is made")
    }
    type Never = tower::util::BoxService<
        http::Request<kamaitachi_serve::server::Incoming>,
        http::Response<String>,
        std::convert::Infallible,
    >;
    let error = Server::new(([127, 0, 0, 1], 0).into())
        .workers(2)
        .start(|worker| {
            assert!(worker.0 != 1, "on purpose");
            unlucky
        })
        .unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

#[tokio::test]
async fn several_servers_live_in_one_process() {
    let (main, admin) = (start(Limits::default()), start_on(1, Limits::default()));
    assert_ne!(main.address(), admin.address());
    main.handle.drain(LONG).await;
    let answer = admin.exchange("GET /admin HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("GET /admin []"), "{answer}");
    admin.handle.stop().await;
}
