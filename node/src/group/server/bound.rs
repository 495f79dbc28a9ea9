//! Where a server's connections come from.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
};
use tonic::transport::server::Connected;

use crate::group::Carrier;

/// An address that is taken, and not served yet: its connections wait. So a peer knows its own
/// address before it makes its [`Peers`](crate::group::Peers).
pub struct Bound {
    pub(super) source: Source,
    pub(super) address: SocketAddr,
}

/// What gives connections.
pub(super) enum Source {
    Tcp(TcpListener),
    Other(BoxStream<'static, io::Result<Accepted>>),
}

/// A connection that is not TCP.
pub(super) struct Accepted(Box<dyn Carrier>);

impl Bound {
    /// Takes an address; port 0 is any that is free.
    ///
    /// # Errors
    /// The address can't be listened on.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { source: Source::Tcp(listener), address })
    }

    /// Connections that come another way than by TCP, to a server that is known by `address`.
    #[must_use]
    pub fn over<T: Carrier>(
        address: SocketAddr,
        connections: impl Stream<Item = io::Result<T>> + Send + 'static,
    ) -> Self {
        let accepted = connections.map(|one| one.map(|one| Accepted(Box::new(one))));
        Self { source: Source::Other(accepted.boxed()), address }
    }

    /// The address, with the port that 0 became.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
