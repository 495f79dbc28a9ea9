//! Clients that know of several gateways, as a load balancer does: on a connection that is over they ask nothing, and
//! where nobody listens they go to the next. Whatever was sent and not answered has failed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::table::{Answered, now};

const CLIENTS: u32 = 20;
const PATH: &str = "/data/kamaitachi/api/data/v1/period";

/// A question about all of a company's rows.
pub(crate) fn question(subject: &str, ids: &str) -> String {
    json!({"subjects": subject, "ids": ids, "from": 0, "to": 1_700_000_000}).to_string()
}

/// What is asked, and until when.
struct Questions {
    lists: Vec<Vec<String>>,
    /// Which list is asked from.
    list: AtomicUsize,
    over: AtomicBool,
}

impl Questions {
    fn at(&self, turn: usize) -> &str {
        let list = &self.lists[self.list.load(Relaxed)];
        &list[turn % list.len()]
    }
}

/// Clients that ask until they are ended.
pub(crate) struct Clients {
    questions: Arc<Questions>,
    thread: Option<JoinHandle<Vec<Answered>>>,
}

impl Clients {
    /// So many requests a second, whatever comes back, each with the next body of the first list.
    pub(crate) fn start(gateways: Vec<SocketAddr>, lists: Vec<Vec<String>>, rate: u64) -> Self {
        let questions =
            Arc::new(Questions { lists, list: AtomicUsize::new(0), over: AtomicBool::new(false) });
        let asked = Arc::clone(&questions);
        let gateways = Arc::<[SocketAddr]>::from(gateways);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let mut clients = JoinSet::new();
                let pace = Duration::from_secs(1) * CLIENTS / u32::try_from(rate).unwrap();
                for number in 0..CLIENTS {
                    let gateways = Arc::clone(&gateways);
                    let client = Client { gateways, at: number as usize, sender: None };
                    clients.spawn(client.run(Arc::clone(&asked), number, pace));
                }
                clients.join_all().await.concat()
            })
        });
        Self { questions, thread: Some(thread) }
    }

    /// From now on bodies are taken from the next list.
    pub(crate) fn turn_over(&self) {
        self.questions.list.fetch_add(1, Relaxed);
    }

    /// Every answer.
    pub(crate) fn end(mut self) -> Vec<Answered> {
        self.questions.over.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.questions.over.store(true, Relaxed);
    }
}

struct Client {
    gateways: Arc<[SocketAddr]>,
    /// Which gateway is asked; of more than there are, from the first again.
    at: usize,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    async fn run(
        mut self,
        questions: Arc<Questions>,
        number: u32,
        pace: Duration,
    ) -> Vec<Answered> {
        let mut answers = Vec::new();
        let mut due = Instant::now() + pace * number / CLIENTS;
        let mut turn = number as usize;
        while !questions.over.load(Relaxed) {
            sleep_until(due).await;
            let late = u64::try_from(due.elapsed().as_millis()).unwrap();
            let at = now() - late;
            let asked = self.ask(questions.at(turn)).await;
            let took = u64::try_from(due.elapsed().as_micros()).unwrap();
            let (hit, failed) = match asked {
                Ok(hit) => (Some(hit), None),
                Err(why) => (None, Some(why)),
            };
            answers.push(Answered { at, took, failed, hit });
            (due, turn) = (due + pace, turn + CLIENTS as usize);
        }
        answers
    }

    /// Asks; whether no store was read for the answer.
    async fn ask(&mut self, body: &str) -> Result<bool, String> {
        loop {
            let mut sender = self.connected().await?;
            let request = Request::post(PATH).header("host", "rehearsal");
            let request = request.header("content-type", "application/json");
            let request = request.body(Full::from(body.to_owned())).unwrap();
            let answer = match sender.send_request(request).await {
                Ok(answer) => answer,
                // It was over before anything was sent.
                Err(error) if error.is_canceled() => continue,
                Err(error) => return Err(format!("{error:?}")),
            };
            let (head, body) = answer.into_parts();
            body.collect().await.map_err(|error| format!("{error:?}"))?;
            if head.status != StatusCode::OK {
                return Err(head.status.to_string());
            }
            if head.headers.get("connection").is_some_and(|value| value == "close") {
                self.at += 1;
            } else {
                self.sender = Some(sender);
            }
            return Ok(head.headers.get("x-kamaitachi-cache").is_some_and(|value| value == "hit"));
        }
    }

    /// The connection that is there, or one to the first gateway that listens.
    async fn connected(&mut self) -> Result<SendRequest<Full<Bytes>>, String> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        for _ in 0..self.gateways.len() {
            let gateway = self.gateways[self.at % self.gateways.len()];
            if let Ok(stream) = TcpStream::connect(gateway).await {
                let (sender, connection) =
                    handshake(TokioIo::new(stream)).await.map_err(|e| format!("{e:?}"))?;
                tokio::spawn(connection);
                return Ok(sender);
            }
            self.at += 1;
        }
        Err("nobody listens".to_owned())
    }
}
