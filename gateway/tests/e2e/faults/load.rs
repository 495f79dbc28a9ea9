//! A steady load, and what became of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::harness::{about, connect, request, whole};

pub(super) const SNAPSHOT: &str = "/data/kamaitachi/api/data/v1/snapshot";
const CLIENTS: u64 = 10;

/// Clients that ask about one subject after the other, until stopped.
pub(super) struct Load {
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<(StatusCode, Duration)>>,
}

/// What became of a load.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) answers: usize,
    pub(super) failed: Vec<StatusCode>,
    pub(super) longest: Duration,
}

impl Load {
    /// So many requests a second, at which a client that waits falls behind but makes up for it.
    pub(super) fn start(gateway: SocketAddr, rate: u64) -> Self {
        let (done, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
            clients.spawn(async move {
                let mut answers = Vec::new();
                let mut sender = connect(gateway).await;
                let mut beats = interval(Duration::from_micros(CLIENTS * 1_000_000 / rate));
                beats.set_missed_tick_behavior(MissedTickBehavior::Burst);
                while !stop.load(Relaxed) {
                    beats.tick().await;
                    let number = (answers.len() as u64 * CLIENTS + client) % 40;
                    let asked = request(Method::POST, SNAPSHOT, about(&format!("33:{number:06}")));
                    let began = Instant::now();
                    sender.ready().await.unwrap();
                    let answer = whole(sender.send_request(asked).await.unwrap()).await;
                    answers.push((answer.status, began.elapsed()));
                    done.fetch_add(1, Relaxed);
                }
                answers
            });
        }
        Self { done, stop, clients }
    }

    /// Waits until so many more requests were answered.
    pub(super) async fn more(&self, answers: usize) {
        let enough = self.done.load(Relaxed) + answers;
        let waited = tokio::time::timeout(Duration::from_secs(120), async {
            while self.done.load(Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited.await.expect("answers keep coming");
    }

    pub(super) async fn stop(self) -> Outcome {
        self.stop.store(true, Relaxed);
        let answers: Vec<_> = self.clients.join_all().await.into_iter().flatten().collect();
        let failed = answers.iter().map(|(status, _)| *status).filter(|s| *s != StatusCode::OK);
        let outcome = Outcome {
            answers: answers.len(),
            failed: failed.collect(),
            longest: answers.iter().map(|(_, took)| *took).max().unwrap_or_default(),
        };
        let Outcome { answers, failed, longest } = &outcome;
        eprintln!("{answers} answers, {} failed, longest {longest:?}", failed.len());
        outcome
    }
}
