//! Messages over simulated TCP: a length, then JSON or bytes.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use turmoil::net::{TcpListener, TcpStream};

/// How long an answer may take: longer than any delay of the network but a fault.
pub(crate) const PATIENCE: Duration = Duration::from_millis(800);

/// A connection. It has no task of its own: what has arrived is seen in the order in which links are polled.
pub(crate) struct Link {
    stream: TcpStream,
    arrived: BytesMut,
}

impl Link {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, arrived: BytesMut::new() }
    }

    pub(crate) async fn connect(to: &str) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(to)).await??;
        Ok(Self::new(stream))
    }

    pub(crate) async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        self.stream.write_all(&[&length, bytes].concat()).await
    }

    pub(crate) async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.put(&serde_json::to_vec(message)?).await
    }

    /// The next message; nothing is lost when the future is dropped.
    pub(crate) async fn bytes(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((length, rest)) = self.arrived.split_first_chunk() {
                let length = usize::try_from(u32::from_le_bytes(*length)).unwrap();
                if rest.len() >= length {
                    self.arrived.advance(4);
                    return Ok(self.arrived.split_to(length).into());
                }
            }
            if self.stream.read_buf(&mut self.arrived).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// As [`bytes`](Self::bytes).
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        Ok(serde_json::from_slice(&self.bytes().await?)?)
    }

    /// Sends and waits for the answer, if it comes in time. A late one would be taken for the next.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        what: &impl Serialize,
    ) -> io::Result<T> {
        self.send(what).await?;
        timeout(PATIENCE, self.next()).await?
    }
}

/// Accepts connections for ever and lets `handle` have each.
///
/// Whoever is woken, all are polled, in the order in which they came: the order in which a channel wakes those who wait
/// is left to chance.
pub(crate) async fn serve<F>(port: u16, handle: impl Fn(Link) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let mut links: Vec<Pin<Box<F>>> = Vec::new();
    loop {
        let accepting = listener.accept();
        let mut accepting = pin!(accepting);
        let (stream, _) = poll_fn(|cx| {
            // That a connection ends is no matter for others.
            links.retain_mut(|link| link.as_mut().poll(cx).is_pending());
            accepting.as_mut().poll(cx)
        })
        .await?;
        links.push(Box::pin(handle(Link::new(stream))));
    }
}
