//! The services of groups for an HTTP/2 server that is there already.

use std::{fmt, fmt::Display};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full, Limited};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};
use tower::Service;

use super::{
    super::{
        Peers,
        proto::{cache_server::CacheServer, sync_server::SyncServer},
    },
    auth::Auth,
    cache::CacheService,
    services,
    sync::SyncService,
};

/// Answers the calls of clients and peers to the groups of a [`Peers`], where an HTTP/2 server of
/// the process's own hands them over: no port is taken for them. Clones are the same.
///
/// Health and reflection are the server's own affair.
#[derive(Clone)]
pub struct GroupService {
    auth: Auth,
    cache: CacheServer<CacheService>,
    sync: SyncServer<SyncService>,
    max_message: usize,
}

impl GroupService {
    /// What the paths of all calls begin with.
    pub const PREFIX: &str = "/kamaitachi.group.v1.";

    /// Serves whoever shows `token`, or anyone without one; takes messages of `max_message` bytes
    /// at the most. Those who watch are let go when `stop` is cancelled.
    #[must_use]
    pub fn new(
        peers: &Peers,
        token: Option<SecretString>,
        max_message: usize,
        stop: &CancellationToken,
    ) -> Self {
        let (cache, sync) = services(peers, stop, max_message);
        Self { auth: Auth::new(token), cache, sync, max_message }
    }

    /// Answers a call. What does not show the token is refused before its body is read.
    ///
    /// Cancel safe: a call that is given up leaves nothing half done.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Display>,
    {
        let (head, body) = request.into_parts();
        let given = head.headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        if let Err(refused) = self.auth.check(given) {
            return refused.into_http();
        }
        // Every call has one message, which is no longer than may be held; so the server's own
        // body, which may belong to one thread, is not passed on.
        let most = self.max_message + FRAME;
        let message = match read(body, most).await {
            Ok(message) => Full::new(message),
            Err(refused) => return refused.into_http(),
        };
        let request = Request::from_parts(head, message);
        let path = request.uri().path();
        let of = |service: &str| {
            path.strip_prefix(Self::PREFIX).is_some_and(|rest| rest.starts_with(service))
        };
        let answered = if of("Cache/") {
            self.cache.clone().call(request).await
        } else if of("Sync/") {
            self.sync.clone().call(request).await
        } else {
            return Status::unimplemented("no such service").into_http();
        };
        answered.unwrap_or_else(|never| match never {})
    }
}

/// Bytes before a message.
const FRAME: usize = 5;

async fn read<B>(body: B, most: usize) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let body = body.map_err(|error| error.to_string());
    match Limited::new(Box::pin(body), most).collect().await {
        Ok(all) => Ok(all.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Status::out_of_range(format!("a message has {most} bytes at the most")))
        }
        Err(error) => Err(Status::cancelled(format!("the message broke off: {error}"))),
    }
}

impl fmt::Debug for GroupService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupService")
            .field("auth", &self.auth)
            .field("max_message", &self.max_message)
            .finish_non_exhaustive()
    }
}
