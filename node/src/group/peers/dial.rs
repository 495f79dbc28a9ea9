//! Connections to peers that are not TCP: a Unix socket, a tunnel, a simulated network.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

/// A connection, whatever carries it.
pub trait Carrier: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Carrier for T {}

type Dialing = Pin<Box<dyn Future<Output = io::Result<TokioIo<Box<dyn Carrier>>>> + Send>>;

/// Makes connections to peers by their addresses.
#[derive(Clone)]
pub struct Dial(Arc<dyn Fn(String) -> Dialing + Send + Sync>);

impl Dial {
    /// `dial` is given the address of a peer, `host:port`. It may take
    /// [`connect_timeout`](super::PeerOptions::connect_timeout).
    #[must_use]
    pub fn new<F, Fut, T>(dial: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<T>> + Send + 'static,
        T: Carrier,
    {
        Self(Arc::new(move |to| {
            let dialled = dial(to);
            Box::pin(async move {
                let carrier: Box<dyn Carrier> = Box::new(dialled.await?);
                Ok(TokioIo::new(carrier))
            })
        }))
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Carrier>>;
    type Error = io::Error;
    type Future = Dialing;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Dialing {
        (self.0)(to.authority().map(ToString::to_string).unwrap_or_default())
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}
