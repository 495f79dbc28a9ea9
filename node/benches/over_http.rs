//! A node over HTTP beside a bare hyper server that answers fixed bytes of the same size.
//!
//! Both run on one thread in this process; the same client asks them in turn, over 50 kept-alive
//! connections, for a cached snapshot of two subjects by three indicators. The clock for the ratio
//! is the processor time of the serving thread, so that a busy machine does not decide it.
//!
//! `cargo bench -p kamaitachi-node --bench over_http`; `-- --seconds 10` measures for longer.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up its world has nothing to tell")]

use std::{
    convert::Infallible,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use kamaitachi_node::{
    Node,
    config::{Config, Role},
    sample::{SampleOptions, generate},
};
use tokio::time::Instant;

const CONNECTIONS: usize = 50;
const CLIENTS: usize = 2;
const ROUNDS: usize = 5;
const BODY: &str = r#"{"ids":"operating_income,net_profit,total_profit","subjects":"33:00000009,33:00000010","field":"report_date","order":-1,"offset":0,"limit":20}"#;

fn request(addr: SocketAddr) -> Vec<u8> {
    let head = format!(
        "POST /kamaitachi/api/data/v1/snapshot HTTP/1.1\r\nhost: {addr}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    [head.as_bytes(), BODY.as_bytes()].concat()
}

/// Sends the request and reads one answer; tells its length on the wire.
fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).unwrap();
        if let Some(length) = whole(&buffer[..filled]) {
            assert_eq!(length, filled, "one answer at a time");
            return length;
        }
    }
}

/// The length of the answer at the start of `bytes`, once all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let length = end + length.parse::<usize>().unwrap();
    (bytes.len() >= length).then_some(length)
}

/// The body of one answer.
fn body_of(addr: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let length = ask(&mut stream, &request(addr), &mut buffer);
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    buffer[end..length].to_vec()
}

/// Processor time so far of the threads of this process whose name starts so.
fn processor_time(name: &str) -> Duration {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let comm = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let nanos = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        if comm.starts_with(name) {
            ticks += nanos.split(' ').next().unwrap_or("0").parse::<u64>().unwrap_or(0);
        }
    }
    Duration::from_nanos(ticks)
}

/// Asks `addr` for so long and tells requests a second, and a second of the server's processor.
fn measure(addr: SocketAddr, thread_name: &str, time: Duration) -> (f64, f64) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            thread::spawn(move || {
                let request = request(addr);
                let connect = |_| TcpStream::connect(addr).unwrap();
                let mut streams: Vec<_> = (0..CONNECTIONS / CLIENTS).map(connect).collect();
                let mut buffer = vec![0; 1 << 16];
                while !stop.load(Relaxed) {
                    // All of a client's connections wait for the server at once.
                    for stream in &mut streams {
                        stream.write_all(&request).unwrap();
                    }
                    for stream in &mut streams {
                        let mut filled = 0;
                        while whole(&buffer[..filled]).is_none() {
                            filled += stream.read(&mut buffer[filled..]).unwrap();
                        }
                        done.fetch_add(1, Relaxed);
                    }
                }
            })
        })
        .collect();
    thread::sleep(time / 10);
    let (began, worked, before) = (Instant::now(), processor_time(thread_name), done.load(Relaxed));
    thread::sleep(time);
    let (took, worked) = (began.elapsed(), processor_time(thread_name) - worked);
    let answered = u32::try_from(done.load(Relaxed) - before).unwrap();
    stop.store(true, Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    (f64::from(answered) / took.as_secs_f64(), f64::from(answered) / worked.as_secs_f64())
}

/// A bare hyper server on a thread of its own: reads the body, answers `fixed`.
fn bare(fixed: Bytes) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let fixed = fixed.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let fixed = fixed.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    assert!(!body.is_empty());
                    let answer = Response::builder()
                        .header(header::CONTENT_TYPE, "application/json")
                        .body(Full::new(fixed))
                        .unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::task::spawn_local(connection);
        }
    };
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, serve)
    };
    thread::Builder::new().name("bare-0".into()).spawn(run).unwrap();
    addr
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let time = Duration::from_secs_f64(seconds);
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("node.db");
    generate(&SampleOptions { stocks: 50, ..SampleOptions::new(&db) }, |_, _| {}).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = Config::embedded(Role::Master, db);
    config.server.workers = Some(1);
    let node = runtime.block_on(Node::start(config)).unwrap();
    let fixed = body_of(node.local_addr());
    let bare = bare(fixed.clone().into());
    assert_eq!(body_of(bare), fixed);
    println!(
        "answers of {} bytes, {CONNECTIONS} connections, {ROUNDS} rounds in turn",
        fixed.len()
    );
    let (mut wall, mut work) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let of_bare = measure(bare, "bare-0", time);
        let of_node = measure(node.local_addr(), "node-0", time);
        println!(
            "round {round}: bare hyper {:>7.0}/s {:>7.0}/cpu-s   node {:>7.0}/s {:>7.0}/cpu-s",
            of_bare.0, of_bare.1, of_node.0, of_node.1
        );
        wall.push(of_node.0 / of_bare.0);
        work.push(of_node.1 / of_bare.1);
    }
    println!(
        "node / bare hyper, median: {:.2} requests a second, {:.2} requests a processor second",
        median(wall),
        median(work)
    );
}
