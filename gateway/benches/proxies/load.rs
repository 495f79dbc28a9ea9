//! A closed loop of requests, each connection sending its next one when it has its answer.
use std::{cell::RefCell, io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::LocalSet,
    time::Instant,
};

use crate::wire;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// So many requests.
    Count(usize),
    /// So long.
    Time(Duration),
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answers: usize,
    /// Answers other than 200.
    pub(crate) others: usize,
    pub(crate) p99: Duration,
}

/// Sends requests to `target` on `connections` connections from this thread.
pub(crate) fn run(target: SocketAddr, connections: usize, until: Until) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let requests = requests();
    let state = State { begun: Instant::now(), until, sent: 0, others: 0, times: Vec::new() };
    let state = RefCell::new(state);
    let work = (0..connections).map(|i| converse(target, &requests, i, &state));
    LocalSet::new().block_on(&runtime, futures_util::future::try_join_all(work))?;
    let State { others, mut times, .. } = state.into_inner();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Outcome { answers: times.len(), others, p99 })
}

struct State {
    begun: Instant,
    until: Until,
    sent: usize,
    others: usize,
    times: Vec<Duration>,
}

impl State {
    fn may_send(&mut self) -> bool {
        self.sent += 1;
        match self.until {
            Until::Count(count) => self.sent <= count,
            Until::Time(time) => self.begun.elapsed() < time,
        }
    }
}

/// Requests for various first subjects, with the fields that every client sends.
fn requests() -> Vec<Vec<u8>> {
    let request = |n: usize| {
        let ids = r#""operating_income","parent_holder_net_profit","total_operating_cost""#;
        let page = r#""field":"report_date","order":-1,"offset":0,"limit":20"#;
        let body =
            format!(r#"{{"ids":[{ids}],"subjects":["33:{n:08}","33:{:08}"],{page}}}"#, n + 1);
        format!(
            "POST /data/kamaitachi/api/data/v1/snapshot HTTP/1.1\r\nhost: localhost:9000\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    (9..73).map(request).collect()
}

async fn converse(
    target: SocketAddr,
    requests: &[Vec<u8>],
    first: usize,
    state: &RefCell<State>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let mut read = Vec::with_capacity(16 * 1024);
    let mut next = requests.iter().cycle().skip(first);
    while state.borrow_mut().may_send() {
        let sent = Instant::now();
        if let Some(request) = next.next() {
            stream.write_all(request).await?;
        }
        read.clear();
        while wire::message(&read).is_none() {
            if stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let mut state = state.borrow_mut();
        state.times.push(sent.elapsed());
        state.others += usize::from(!read.starts_with(b"HTTP/1.1 200"));
    }
    Ok(())
}
