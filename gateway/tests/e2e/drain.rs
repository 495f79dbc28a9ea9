//! How a gateway ends.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::net::TcpStream;

use crate::harness::{Node, Reply, Rig, connect, request, send, until, whole};

#[tokio::test]
async fn what_is_in_flight_is_answered_and_nothing_new_is_taken() {
    let node = Node::scripted(|_| Reply::ok("slow").after(Duration::from_millis(400))).await;
    let Rig { running, drain } = Rig::start(&[&node], "[server]\nworkers = 2\n");
    let (addr, admin) = (running.local_addr(), running.admin_addr());
    // One that lies idle must not hold up the end.
    let _idle = connect(addr).await;
    let in_flight: Vec<_> =
        (0..30).map(|_| tokio::spawn(send(addr, request(Method::POST, "/data/x", "{}")))).collect();
    until("all requests are with the node", || async { node.seen.lock().len() == 30 }).await;
    let serving = tokio::spawn(running.serve());
    drain.begin();
    until("it takes no new connections", || async { TcpStream::connect(addr).await.is_err() })
        .await;
    // Operators still see it, not ready.
    let ready = send(admin, request(Method::GET, "/readyz", "")).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["status"], "draining");
    for answer in in_flight {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "slow"));
    }
    let drained = serving.await.unwrap().unwrap();
    assert_eq!(drained.cut, 0);
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn what_takes_too_long_is_cut() {
    let node = Node::scripted(|_| Reply::ok("").after(Duration::from_secs(60))).await;
    let Rig { running, drain } = Rig::start(&[&node], "[server]\ndrain_seconds = '100ms'\n");
    let mut sender = connect(running.local_addr()).await;
    let answer = tokio::spawn(sender.send_request(request(Method::POST, "/data/x", "{}")));
    until("the request is with the node", || async { node.seen.lock().len() == 1 }).await;
    drain.begin();
    let drained = running.serve().await.unwrap();
    assert_eq!(drained.cut, 1);
    assert!(answer.await.unwrap().is_err());
}

#[tokio::test]
async fn a_kept_connection_is_told_that_it_closes() {
    let node = Node::scripted(|_| Reply::ok("slow").after(Duration::from_millis(200))).await;
    let Rig { running, drain } = Rig::start(&[&node], "");
    let mut sender = connect(running.local_addr()).await;
    let answer = tokio::spawn(sender.send_request(request(Method::POST, "/data/x", "{}")));
    until("the request is with the node", || async { node.seen.lock().len() == 1 }).await;
    let serving = tokio::spawn(running.serve());
    drain.begin();
    let answer = whole(answer.await.unwrap().unwrap()).await;
    assert_eq!((answer.status, answer.header("connection")), (StatusCode::OK, "close"));
    serving.await.unwrap().unwrap();
}
