//! Requests about companies drawn evenly, on a few connections at a time.
use std::{cell::RefCell, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpStream, time::Instant};

use crate::Options;

/// What is asked about the companies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// Their newest rows.
    Newest,
    /// All rows of 2015 to 2024.
    TenYears,
}

impl Asked {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Newest => "snapshot",
            Self::TenYears => "period",
        }
    }

    fn body(self, subjects: &[&str]) -> String {
        let ids = ["operating_income", "net_profit", "operating_profit", "total_profit"];
        let body = match self {
            Self::Newest => json!({"ids": ids, "subjects": subjects, "limit": 20}),
            Self::TenYears => {
                json!({"ids": ids, "subjects": subjects, "from": 1_420_070_400, "to": 1_735_689_599})
            }
        };
        body.to_string()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Answers for which no node read its store.
    pub(crate) hits: u64,
    times: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn answers(&self) -> u64 {
        self.times.len() as u64
    }

    /// The time within which so many per cent of the answers came, in milliseconds.
    pub(crate) fn millis(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    }
}

pub(crate) async fn run(
    gateway: SocketAddr,
    subjects: &[Arc<str>],
    asked: Asked,
    options: Options,
) -> io::Result<Outcome> {
    let state = RefCell::new((Draw(1), options.requests, Outcome::default()));
    let next = || {
        let (draw, left, _) = &mut *state.borrow_mut();
        *left = left.checked_sub(1)?;
        let drawn: Vec<&str> =
            (0..options.subjects).map(|_| &*subjects[draw.below(subjects.len())]).collect();
        Some(asked.body(&drawn))
    };
    let note = |is_hit: bool, took: Duration| {
        let outcome = &mut state.borrow_mut().2;
        outcome.hits += u64::from(is_hit);
        outcome.times.push(took);
    };
    let path = format!("/data/kamaitachi/api/data/v1/{}", asked.name());
    let connections = (0..options.connections).map(|_| converse(gateway, &path, &next, &note));
    futures_util::future::try_join_all(connections).await?;
    Ok(state.into_inner().2)
}

async fn converse(
    gateway: SocketAddr,
    path: &str,
    next: &impl Fn() -> Option<String>,
    note: &impl Fn(bool, Duration),
) -> io::Result<()> {
    let stream = TokioIo::new(TcpStream::connect(gateway).await?);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    while let Some(body) = next() {
        let begun = Instant::now();
        let request = Request::builder().method(Method::POST).uri(path).header("host", "bench");
        let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let is_hit = response.headers().get("x-kamaitachi-cache").is_some_and(|v| v == "hit");
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("the gateway answered {}", response.status())));
        }
        response.into_body().collect().await.map_err(io::Error::other)?;
        note(is_hit, begun.elapsed());
    }
    connection.abort();
    Ok(())
}

/// Marsaglia's xorshift64, so that every round asks the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or_default()
    }
}
