//! Nodes that give a fixed answer, so that what they cost is out of the figures.
use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

use crate::wire;

/// The content of a cached snapshot of two subjects and three indicators.
const CONTENT: &str = concat!(
    r#"{"status_code":0,"status_msg":"success","data":[{"subject":{"subject":"33:00000009","name":"Sample 9","#,
    r#""status":"213001","listing_date":"2001-03-14","category":"stock"},"data":{"operating_income":1482291734.25,"#,
    r#""parent_holder_net_profit":93847261.5,"total_operating_cost":1203948576.75}},{"subject":{"subject":"#,
    r#""33:00000010","name":"Sample 10","status":"213001","listing_date":"2004-11-02","category":"stock"},"data":"#,
    r#"{"operating_income":982736451.125,"parent_holder_net_profit":77261534.75,"total_operating_cost":801927364.5}}]}"#,
);

/// Starts `count` nodes on one thread of their own, which ends with the process.
pub(crate) fn start(count: usize) -> io::Result<Vec<SocketAddr>> {
    let listeners = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0"))
        .collect::<io::Result<Vec<_>>>()?;
    let addresses = listeners.iter().map(std::net::TcpListener::local_addr).collect();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let nodes = listeners.into_iter().map(accept);
            futures_util::future::try_join_all(nodes).await.map(drop)
        })
    });
    addresses
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-kamaitachi-revision: 20001\r\n\
         x-kamaitachi-cache: hit\r\ncontent-length: {}\r\ndate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\r\n{CONTENT}",
        CONTENT.len()
    );
    let answer: std::rc::Rc<[u8]> = answer.into_bytes().into();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = std::rc::Rc::clone(&answer);
        tokio::task::spawn_local(async move { serve(stream, &answer).await });
    }
}

async fn serve(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    let mut read = Vec::with_capacity(4096);
    while stream.read_buf(&mut read).await? > 0 {
        while let Some(length) = wire::message(&read) {
            read.drain(..length);
            stream.write_all(answer).await?;
        }
    }
    Ok(())
}
