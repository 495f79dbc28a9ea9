//! How a slave reaches its master.

use std::{future::Future, io, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpStream, task::AbortHandle};

use super::{Settings, feed};
use crate::store::Mark;

/// What a slave wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What follows on this mark.
    Changes(Mark),
    /// A copy.
    Copy,
}

/// What a master answers with, piece by piece, until the connection ends.
pub type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Why a master could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// There is no connection to it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not speak HTTP as it should.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// It answers, but not with what was asked for.
    #[error("it answers {status}: {text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The first words of the body.
        text: String,
    },
}

/// A way to a master. Dropping what it gives ends the connection.
pub trait Transport: Send + Sync + 'static {
    /// Asks for something. No time-out of its own: the follower has one.
    fn open(
        &self,
        ask: Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Chunks, Unreachable>> + Send + '_>>;
}

/// Over HTTP/1.1, one connection for each question.
#[derive(Debug)]
pub struct Http {
    master: String,
    /// Under which name the slave is known.
    own: String,
    token: Option<SecretString>,
}

/// The longest refusal that is read.
const WORDS: usize = 512;

impl Http {
    /// To the node at `master`, from the one at `own`.
    #[must_use]
    pub fn new(master: &str, own: &str, settings: &Settings) -> Self {
        let token = settings.token.clone();
        Self { master: master.to_owned(), own: own.to_owned(), token }
    }

    async fn ask(&self, ask: Ask) -> Result<Chunks, Unreachable> {
        let stream = TcpStream::connect(&self.master).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = Connection(tokio::spawn(connection).abort_handle());
        let response = sender.send_request(self.request(&ask)).await?;
        let (head, body) = response.into_parts();
        let mut chunks = body.into_data_stream();
        if head.status != StatusCode::OK {
            let mut text = Vec::new();
            while let Some(Ok(chunk)) = chunks.next().await
                && text.len() < WORDS
            {
                text.extend_from_slice(&chunk);
            }
            text.truncate(WORDS);
            let text = String::from_utf8_lossy(&text).escape_default().to_string();
            return Err(Unreachable::Refused { status: head.status, text });
        }
        let held = (sender, connection);
        Ok(Box::pin(chunks.map_err(io::Error::other).inspect_ok(move |_| {
            // For as long as somebody reads.
            let _ = &held;
        })))
    }

    fn request(&self, ask: &Ask) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        let target = feed::target(ask);
        // Made of numbers and a lineage, which is checked where it is read: always a target.
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let mut put = |name: header::HeaderName, value: String| {
            if let Ok(mut value) = http::HeaderValue::from_str(&value) {
                value.set_sensitive(name == header::AUTHORIZATION);
                headers.insert(name, value);
            }
        };
        put(header::HOST, self.master.clone());
        put(feed::FOLLOWER, self.own.clone());
        if let Some(token) = &self.token {
            put(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        request
    }
}

impl Transport for Http {
    fn open(
        &self,
        ask: Ask,
    ) -> Pin<Box<dyn Future<Output = Result<Chunks, Unreachable>> + Send + '_>> {
        Box::pin(self.ask(ask))
    }
}

/// A connection that ends with its last user.
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The pause before the next try: between half of `wait` and all of it, so that slaves that lost
/// their master together do not come back together. `random` is any number.
pub(super) fn jitter(wait: Duration, random: u32) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_stay_within_their_bounds() {
        let wait = Duration::from_secs(4);
        assert_eq!(jitter(wait, 0), Duration::from_secs(2));
        assert_eq!(jitter(wait, u32::MAX), wait);
        assert!(jitter(wait, 77) < jitter(wait, u32::MAX / 2));
    }
}
