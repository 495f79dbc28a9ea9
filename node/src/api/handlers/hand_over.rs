//! What nodes ask of each other when the ring changes.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderValue, Response, header, request::Parts};
use tokio::{sync::SemaphorePermit, time::Instant};

use crate::{
    api::{
        app::App,
        body,
        failure::{Failure, Unready},
        respond::{Body, Envelope},
        service::Answered,
    },
    hand_over::{HandOver, Wanted, history, owns},
};

/// A parcel is no JSON, whatever it is made of.
const PARCEL: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What is cached here of the subjects that the asker owns.
pub(in crate::api) async fn pull<B>(app: &App, head: &Parts, body: B) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let peers = expect_peer(app, head)?;
    let body = body::read(&head.headers, body, app.limits.body).await?;
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|error| Failure::bad(format!("expected what is wanted: {error}")))?;
    if !wanted.is_plausible() {
        return Err(Failure::bad("expected `node` to be one of `nodes`"));
    }
    let core = app.core_or_refuse()?;
    let _permit = permit(peers)?;
    let before = history::of(&core.store);
    let ring = peers.ring(wanted.nodes.iter().map(String::as_str));
    let max_bytes = wanted.bytes.min(peers.max_bytes());
    let node = wanted.node;
    let parcel = core.engine.give(move |subject| owns(&ring, &node, subject), max_bytes).await;
    let parcel = parcel.map_err(|_| Failure::NotReady(Unready::Draining))?;
    let lineage = before.map(|mark| mark.lineage);
    // As new as anything in the parcel, and still the history in which that was read.
    let Some(mark) =
        history::of(&core.store).filter(|mark| Some(&mark.lineage) == lineage.as_ref())
    else {
        return Err(Failure::bad("the store here tells no history that others could share"));
    };
    peers.counters.gave(parcel.entries);
    let mut response: Response<Body> = Response::new(parcel.bytes.into());
    response.headers_mut().insert(header::CONTENT_TYPE, PARCEL);
    response.headers_mut().extend([history::header(&mark)]);
    Ok(response.into())
}

/// Takes in what this node owns now.
pub(in crate::api) async fn push<B>(app: &App, head: &Parts, body: B) -> Result<Answered, Failure>
where
    B: http_body::Body<Data = Bytes, Error: Display>,
{
    let peers = expect_peer(app, head)?;
    let deadline = Instant::now() + peers.time();
    let theirs = history::read(&head.headers)
        .ok_or_else(|| Failure::bad("the sender's store tells no history"))?;
    let _permit = permit(peers)?;
    let limit = (peers.max_bytes() as u64).saturating_mul(2).saturating_add(1 << 20);
    let parcel = body::read(&head.headers, body, limit).await?;
    let core = app.core_or_refuse()?;
    let taken = peers.take(&core.engine, &core.store, &theirs, parcel, false, deadline).await;
    match taken {
        Ok(taken) => {
            tracing::info!(
                entries = taken.entries,
                left_out = taken.left_out,
                "a node handed over"
            );
            Ok(Envelope::Data.success(&()).into())
        }
        Err(reason) => {
            peers.counters.failed();
            tracing::info!(reason, "a hand-over was refused");
            Err(Failure::bad(reason))
        }
    }
}

/// For anyone but a peer there is nothing here.
fn expect_peer<'a>(app: &'a App, head: &Parts) -> Result<&'a HandOver, Failure> {
    app.hand_over()
        .map(|peers| &**peers)
        .filter(|peers| peers.knows(&head.headers))
        .ok_or(Failure::UnknownPath)
}

fn permit(peers: &HandOver) -> Result<SemaphorePermit<'_>, Failure> {
    peers.busy.try_acquire().map_err(|_| Failure::Busy("other nodes are being served; try again"))
}
