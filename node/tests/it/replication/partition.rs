//! Between master and slave: a wire that stalls, breaks, and changes bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

use super::{addr, directory, end_equal, in_step, replication, slave, until};
use crate::support::{Q1, Running, row, year_2020};

/// What the wire does to what the master says.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Passes so many bytes, then none, and keeps the connection.
    Stall(usize),
    /// Passes so many bytes, then breaks the connection.
    Cut(usize),
    /// Changes the byte at this place.
    Flip(usize),
}

/// A wire to `master`: each of `faults` for one connection, then none. Gives its address, and how
/// many connections there have been.
async fn wire(master: String, faults: Vec<Fault>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut faults = faults.into_iter();
        while let Ok((slave, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            let (fault, master) = (faults.next(), master.clone());
            tokio::spawn(async move {
                if let Ok(master) = TcpStream::connect(master).await {
                    pass(slave, master, fault).await;
                }
            });
        }
    });
    (at.to_string(), count)
}

async fn pass(slave: TcpStream, master: TcpStream, fault: Option<Fault>) {
    let (mut from_slave, mut to_slave) = slave.into_split();
    let (mut from_master, mut to_master) = master.into_split();
    tokio::spawn(async move {
        // Either end may go first.
        let _ = copy(&mut from_slave, &mut to_master).await;
    });
    let (mut passed, mut bytes) = (0, vec![0; 4096]);
    while let Ok(count @ 1..) = from_master.read(&mut bytes).await {
        let mut piece = bytes[..count].to_vec();
        match fault {
            Some(Fault::Stall(at)) if passed + count > at => {
                let _ = to_slave.write_all(&piece[..at.saturating_sub(passed)]).await;
                return std::future::pending().await;
            }
            Some(Fault::Cut(at)) if passed + count > at => {
                let _ = to_slave.write_all(&piece[..at.saturating_sub(passed)]).await;
                return;
            }
            Some(Fault::Flip(at)) if (passed..passed + count).contains(&at) => {
                piece[at - passed] ^= 0x10;
            }
            _ => {}
        }
        passed += count;
        if to_slave.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// A slave that has met all faults ends equal.
async fn survives(faults: Vec<Fault>) {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let count = faults.len();
    let (at, connections) = wire(addr(&master).await, faults).await;
    let slave = slave(&at, directory()).await;
    let mut n = 0;
    until("all faults were met", async || {
        n += 1;
        master.client.ingest(&[row("33:000001", Q1, json!({"operating_income": n}))]).await;
        connections.load(SeqCst) > count
    })
    .await;
    end_equal(master, slave).await;
}

#[tokio::test]
async fn a_connection_that_breaks_anywhere_is_resumed() {
    // In the head, in the first frame, in the copy, between and within changes.
    let cuts = [0, 10, 130, 150, 1_000, 20_000, 70_000, 200, 400, 500, 600, 777];
    survives(cuts.map(Fault::Cut).to_vec()).await;
}

#[tokio::test]
async fn a_changed_byte_is_noticed_and_what_was_sent_is_asked_for_again() {
    let flips = [140, 160, 180, 5_000, 30_000, 300, 350, 420, 433, 500, 555];
    survives(flips.map(Fault::Flip).to_vec()).await;
}

#[tokio::test]
async fn a_master_that_falls_silent_is_given_up() {
    survives(vec![Fault::Stall(50), Fault::Stall(3_000), Fault::Stall(300)]).await;
}

#[tokio::test]
async fn a_slave_serves_and_tells_how_late_it_is_while_cut_off() {
    let master = Running::master().await;
    master.client.ingest(&year_2020()).await;
    let (at, _) = wire(addr(&master).await, vec![]).await;
    let node = slave(&at, directory()).await;
    in_step(&master, &node).await;
    until("it knows", async || replication(&node.client).await["lag_seconds"] == 0.0).await;
    master.stop().await;
    until("it is told", async || {
        let told = replication(&node.client).await;
        told["connected"] == false && told["lag_seconds"].as_f64() > Some(0.0)
    })
    .await;
    assert_eq!(node.client.get("/readyz").await.status, 200);
}
