//! The master's end: answers that go on for as long as somebody follows.
//!
//! Memory is bounded: a follower has at most a few pieces on their way, and the task that makes
//! them waits while the follower is slow. One that takes nothing any more is cut off by the
//! server's write time-out.

use std::{io, path::PathBuf, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use secrecy::ExposeSecret;
use tokio::{
    io::AsyncReadExt,
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Ask, Message, Settings,
    followers::{Followers, Giving, Place},
};
use crate::{
    api::{App, failure::Failure, params, respond::Envelope},
    config::Role,
    store::{Cursor, Mark, Store, StoreError},
};

/// Under which paths the feed answers. They are for nodes alone: a request that a proxy passed on
/// finds nothing there.
pub const PREFIX: &str = "/internal/replication/";
const CHANGES: &str = "/internal/replication/v1/changes";
const COPY: &str = "/internal/replication/v1/copy";

/// The address of the slave that asks.
pub(super) const FOLLOWER: HeaderName = HeaderName::from_static("x-kamaitachi-follower");

/// Bytes that are read from the log, or of a copy, at a time.
const BATCH: usize = 512 << 10;
/// Pieces on their way to a follower.
const PIECES: usize = 4;
/// Copies that are made at a time: each takes as much disk as the database.
const COPIES: usize = 2;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The master's end of replication.
#[derive(Debug)]
pub struct Feed {
    settings: Settings,
    /// Where copies are made on their way: beside the database, where there is room for one.
    dir: PathBuf,
    pub(super) followers: Followers,
    copies: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Where a slave asks.
pub(super) fn target(ask: &Ask) -> String {
    match ask {
        Ask::Copy => COPY.to_owned(),
        Ask::Changes(Mark { lineage, revision, nonce }) => {
            format!("{CHANGES}?lineage={lineage}&revision={revision}&nonce={nonce}")
        }
    }
}

impl Feed {
    /// Of the database in `dir`.
    #[must_use]
    pub fn new(settings: Settings, dir: PathBuf) -> Self {
        let (followers, stop) = (Followers::default(), CancellationToken::new());
        Self { settings, dir, followers, copies: Arc::new(Semaphore::new(COPIES)), stop }
    }

    /// Ends what is being fed, so that slaves go elsewhere, and feeds nobody any more.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Answers a request under [`PREFIX`].
    pub fn answer<B>(self: &Arc<Self>, app: &App, request: &Request<B>) -> Response<Body> {
        self.begin(app, request).unwrap_or_else(|failure| refuse(&failure))
    }

    fn begin<B>(
        self: &Arc<Self>,
        app: &App,
        request: &Request<B>,
    ) -> Result<Response<Body>, Failure> {
        let path = request.uri().path();
        if proxied(request.headers()) || !matches!(path, CHANGES | COPY) {
            return Err(Failure::UnknownPath);
        }
        if request.method() != http::Method::GET {
            return Err(Failure::MethodNotAllowed { allow: "GET" });
        }
        self.expect_token(request.headers())?;
        if *app.role() != Role::Master {
            return Err(Failure::NotFound("this node is a slave and feeds nobody".into()));
        }
        let store = app.core_or_refuse()?.store.clone();
        let node = request.headers().get(FOLLOWER).and_then(|value| value.to_str().ok());
        let node = node.unwrap_or("unknown").to_owned();
        let ask = if path == COPY { Ask::Copy } else { Ask::Changes(mark(request.uri().query())?) };
        let (pieces, body) = mpsc::channel(PIECES);
        let feed = Arc::clone(self);
        tokio::spawn(async move { feed.give(&store, ask, &node, pieces).await });
        let chunks = stream::unfold(body, |mut body| async move {
            body.recv().await.map(|bytes: Bytes| (Ok(Frame::data(bytes)), body))
        });
        let mut response = Response::new(StreamBody::new(chunks).boxed_unsync());
        let kind = http::HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }

    /// Gives what `node` asks for, for as long as it takes it or until [`stop`](Self::stop).
    pub async fn give(&self, store: &Store, ask: Ask, node: &str, pieces: mpsc::Sender<Bytes>) {
        let out = Out { pieces, buffer: BytesMut::new() };
        let giving = async {
            match ask {
                Ask::Copy => {
                    let place = self.followers.enter(node, Giving::Copy);
                    if let Err(error) = self.copy(store, out, place).await {
                        tracing::warn!(node, %error, "a copy for a slave came to nothing");
                    }
                }
                Ask::Changes(mark) => {
                    let place = self.followers.enter(node, Giving::Changes);
                    if let Err(error) = self.changes(store, mark, out, place).await {
                        tracing::warn!(node, %error, "a slave cannot be fed");
                    }
                }
            }
        };
        self.stop.run_until_cancelled(giving).await;
    }

    fn expect_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(token) = &self.settings.token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        if same(given, token.expose_secret().as_bytes()) {
            return Ok(());
        }
        Err(Failure::NotFound("the token is not the one in [replication] token".into()))
    }

    /// Streams what follows on `mark`, as it is committed.
    async fn changes(
        &self,
        store: &Store,
        mark: Mark,
        mut out: Out,
        place: Place,
    ) -> Result<(), StoreError> {
        let head = store.mark();
        let mut cursor = Cursor::after(&mark);
        if mark.lineage != head.lineage {
            out.put(&Message::CopyNeeded("the slave has another history".into()));
            out.flush().await;
            return Ok(());
        }
        if store.log_after(&cursor, 1).await?.gap {
            out.put(&Message::CopyNeeded("the change log does not reach the slave".into()));
            out.flush().await;
            return Ok(());
        }
        out.put(&Message::Following);
        loop {
            let read = store.log_after(&cursor, BATCH).await?;
            if read.gap {
                out.put(&Message::CopyNeeded("the slave is too slow for the change log".into()));
                out.flush().await;
                return Ok(());
            }
            out.put(&Message::Beat(read.head.revision));
            for change in read.changes {
                // What the log reads is what the cursor expects.
                let _ = cursor.advance(&change);
                out.put(&Message::Change(change));
            }
            if out.is_closed() {
                return Ok(());
            }
            out.flush().await;
            place.sent(cursor.revision());
            let at = cursor.revision();
            if at < read.head.revision {
                continue;
            }
            let silence = tokio::time::sleep(self.settings.beat());
            tokio::select! {
                biased;
                () = store.reached(at.saturating_add(1)) => {}
                () = silence => {}
                () = out.pieces.closed() => return Ok(()),
            }
        }
    }

    /// Makes a copy and streams it.
    async fn copy(&self, store: &Store, mut out: Out, place: Place) -> Result<(), CopyFailed> {
        let permit = Arc::clone(&self.copies).acquire_owned();
        let Some(_permit) = self.beating(store, &mut out, permit).await else { return Ok(()) };
        let dir = self.dir.clone();
        let making = async {
            let file = tempfile::Builder::new().prefix(".copy-").suffix(".db").tempfile_in(&dir)?;
            let path = file.into_temp_path();
            let mark = store.copy_to(&path).await?;
            Ok::<_, CopyFailed>((path, mark))
        };
        let Some(made) = self.beating(store, &mut out, making).await else { return Ok(()) };
        let (path, mark) = made?;
        let mut file = tokio::fs::File::open(&path).await?;
        let size = file.metadata().await?.len();
        out.put(&Message::Copy { mark: mark.clone(), size });
        let mut sum = crc32fast::Hasher::new();
        loop {
            let mut piece = BytesMut::with_capacity(BATCH);
            while piece.len() < BATCH && file.read_buf(&mut piece).await? > 0 {}
            if piece.is_empty() {
                break;
            }
            sum.update(&piece);
            out.put(&Message::Piece(piece.freeze()));
            out.flush().await;
            if out.is_closed() {
                return Ok(());
            }
        }
        out.put(&Message::CopyEnd(sum.finalize()));
        out.flush().await;
        place.sent(mark.revision);
        Ok(())
    }

    /// Waits for `work` and lets the slave know meanwhile that it is not forgotten. `None` when
    /// the slave left.
    async fn beating<T>(
        &self,
        store: &Store,
        out: &mut Out,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let beat = self.settings.beat();
        let mut beats = tokio::time::interval_at(Instant::now() + beat, beat);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                _ = beats.tick() => {
                    out.put(&Message::Beat(store.revision()));
                    out.flush().await;
                    if out.is_closed() {
                        return None;
                    }
                }
            }
        }
    }
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
enum CopyFailed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What is on its way to a follower.
struct Out {
    pieces: mpsc::Sender<Bytes>,
    buffer: BytesMut,
}

impl Out {
    fn put(&mut self, message: &Message) {
        message.put(&mut self.buffer);
    }

    /// Sends what was put, once there is room.
    async fn flush(&mut self) {
        // A follower that left is noticed by `is_closed`.
        let _ = self.pieces.send(self.buffer.split().freeze()).await;
    }

    fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }
}

/// Whether a proxy passed the request on: every proxy that keeps to RFC 9110 says so.
pub(crate) fn proxied(headers: &HeaderMap) -> bool {
    let marks = [header::VIA, header::FORWARDED, HeaderName::from_static("x-forwarded-for")];
    marks.iter().any(|mark| headers.contains_key(mark))
}

fn mark(query: Option<&str>) -> Result<Mark, Failure> {
    let get = |name| {
        let value = params::parameter(query, name)?;
        value.ok_or_else(|| Failure::bad(format!("query parameter `{name}` is missing")))
    };
    let wrong =
        |name| move |_| Failure::bad(format!("query parameter `{name}` is no whole number"));
    Ok(Mark {
        lineage: get("lineage")?.into_owned(),
        revision: get("revision")?.parse().map_err(wrong("revision"))?,
        nonce: get("nonce")?.parse().map_err(wrong("nonce"))?,
    })
}

/// Compares in a time that tells nothing of where they differ.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differ = given.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == wanted.len() && differ == 0
}

/// A refusal as the body of a feed.
pub(crate) fn refuse(failure: &Failure) -> Response<Body> {
    Envelope::Data.failure(failure).map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"abc", b"abc") && same(b"", b""));
        assert!(!same(b"abd", b"abc") && !same(b"ab", b"abc") && !same(b"abcd", b"abc"));
    }

    #[test]
    fn what_a_slave_asks_is_what_the_master_reads() {
        let asked = Mark { lineage: "0af".into(), revision: 7, nonce: -3 };
        let target = target(&Ask::Changes(asked.clone()));
        let (path, query) = target.split_once('?').unwrap();
        assert_eq!((path, mark(Some(query))), (CHANGES, Ok(asked)));
        assert!(mark(Some("lineage=x&revision=1")).is_err() && mark(None).is_err());
        let told = mark(Some("lineage=x&revision=-1&nonce=0")).unwrap_err().to_string();
        assert!(told.contains("`revision`"), "{told}");
    }
}
