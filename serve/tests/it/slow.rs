//! Clients that are too slow, at every phase.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use kamaitachi_serve::limits::{Limits, Phase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Harness, start, start_on, until};

/// Limits of which `phase` alone is short.
fn impatient(phase: Phase) -> Limits {
    let mut limits = Limits::default();
    let short = Duration::from_millis(80);
    match phase {
        Phase::Head => limits.head_timeout = short,
        Phase::Body => limits.body_timeout = short,
        Phase::Idle => limits.idle_timeout = short,
        Phase::Write => limits.write_timeout = short,
    }
    limits
}

fn timed_out(server: &Harness, phase: Phase) -> u64 {
    server.handle.counters().timed_out(phase)
}

#[tokio::test]
async fn a_silent_connection_is_closed_without_a_word() {
    let server = start(impatient(Phase::Head));
    assert_eq!(server.connect().await.rest().await, "");
    assert_eq!(timed_out(&server, Phase::Head), 1);
}

#[tokio::test]
async fn a_head_that_drips_is_answered_408() {
    let server = start(impatient(Phase::Head));
    let (mut reader, mut writer) = server.connect().await.0.into_split();
    // A byte now and then does not buy time: the whole head has one deadline.
    let drip = tokio::spawn(async move {
        for byte in "GET / HTTP/1.1\r\nX-Slow: ".bytes().chain(std::iter::repeat(b'x')) {
            if writer.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answer = String::new();
    reader.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains("\"status_code\":408"), "{answer}");
    drip.abort();
    assert_eq!((timed_out(&server, Phase::Head), server.seen.requests()), (1, 0));
}

#[tokio::test]
async fn the_head_of_a_later_request_has_a_deadline_too() {
    let server = start(impatient(Phase::Head));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.response().await;
    client.send("GET / HTTP/1.1\r\n").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_body_that_stops_breaks_and_its_service_answers() {
    let server = start(impatient(Phase::Body));
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("broken"), "{answer}");
    assert_eq!((timed_out(&server, Phase::Body), server.seen.broken.load(SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_slow_service_is_not_the_clients_fault() {
    let limits = Limits {
        head_timeout: Duration::from_millis(60),
        body_timeout: Duration::from_millis(60),
        idle_timeout: Duration::from_millis(60),
        ..Limits::default()
    };
    let server = start(limits);
    let mut client = server.connect().await;
    client.send("POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    server.seen.reached(1).await;
    // Longer than every deadline together.
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.seen.open_gate(1);
    assert!(client.response().await.ends_with("POST /gate [abc]"));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(impatient(Phase::Idle));
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.response().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(timed_out(&server, Phase::Idle), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let server = start(impatient(Phase::Write));
    let mut client = server.connect().await;
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(|| timed_out(&server, Phase::Write) == 1).await;
    until(|| server.handle.counters().open() == 0).await;
    let mut rest = Vec::new();
    // What was on its way arrives, or the reset comes first.
    let _ = client.0.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 << 20);
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_surely_gets_everything() {
    let server = start(impatient(Phase::Write));
    let mut client = server.connect().await;
    client.send("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match client.0.read(&mut buffer).await.unwrap() {
            0 => break,
            n => total += n,
        }
        tokio::task::yield_now().await;
    }
    assert!(total > 64 << 20, "{total}");
    assert_eq!(timed_out(&server, Phase::Write), 0);
}

/// While the worker stood still, what came was on its way, and what was taken too.
#[tokio::test]
async fn time_in_which_the_server_stood_still_is_not_charged() {
    let limits = Limits { body_timeout: Duration::from_millis(1_500), ..Limits::default() };
    let server = start_on(1, limits);
    let mut upload = server.connect().await;
    upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    server.seen.reached(1).await;
    let mut blocker = server.connect().await;
    blocker.send("GET /block HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    server.seen.reached(2).await;
    upload.send("de").await;
    blocker.rest().await;
    // The clock is set meanwhile.
    tokio::time::sleep(Duration::from_millis(300)).await;
    upload.send("f").await;
    let answer = upload.response().await;
    assert!(answer.ends_with("[abcdef]"), "{answer}");
}
