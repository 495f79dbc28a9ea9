//! HTTP/1 connections, spoken without a library: heads by the framing guard's strict reading, or by comparison with
//! those before them, bodies straight from the socket, answers in one write.
//!
//! One request is served at a time; those that come with it wait in memory, at most a read of them. Kept to are RFC
//! 9110 and 9112, as far as a server has to: persistent connections of both versions, `100 Continue` when a body is first
//! waited for, chunked bodies with trailers on the way in, chunked answers without on the way out, answers without
//! bodies to HEAD and with 204 and 304, a client that has ended its side. There are no upgrades and no tunnels:
//! `Upgrade` is not answered, and nothing follows the answer to CONNECT.
//!
//! Why not hyper, which speaks HTTP/2 here: with the guard in front of it, it took nearly half of the instructions of a
//! proxied request, most of them for what one request at a time on one thread does not need. See [`heads`], [`wire`].

mod answer;
mod heads;
mod options;
mod output;
mod request;
mod send;
#[cfg(test)]
mod tests;
mod upload;
mod wire;

use std::{future::poll_fn, pin::pin, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::{net::TcpStream, time::timeout};
use tower::{BoxError, Service};
use tracing::debug;

use super::{Connection, Incoming, state::State, worker::Shared};
use crate::refusal::Refusal;
use answer::Asked;
pub(super) use upload::Coming;
use wire::Wire;

/// How much of a body that the service left is read past, in bytes. A larger one ends its connection.
const MOST_LEFT: u64 = 1 << 20;
/// How long, and how much, is read from a client whose message was cut, so that the answer is not lost to a reset. Most
/// clients look for an answer only when they have sent all of a body, so this has to be more than what is usually too
/// large.
const LINGER: (Duration, usize) = (Duration::from_secs(5), 64 << 20);
/// How long a client may send nothing, or take nothing, meanwhile.
const QUIET: Duration = Duration::from_secs(1);

/// Serves the connection on `stream`, of which `held` was read before, until either side ends it.
pub(super) async fn serve<S, B>(
    stream: TcpStream,
    held: Vec<u8>,
    mut service: S,
    about: Connection,
    shared: &Rc<Shared>,
    state: &Rc<State>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let wire = Wire::new(stream, held, Rc::clone(shared), Rc::clone(state));
    while let Some((request, asked)) = poll_fn(|cx| wire.poll_request(cx)).await {
        if let Err(error) = exchange(&wire, &mut service, request, asked).await {
            debug!(peer = %about.peer, %error, "connection ended");
            break;
        }
        if wire.inner.borrow().is_over {
            break;
        }
    }
    close(&wire).await;
}

/// Has one request answered.
async fn exchange<S, B>(
    wire: &Rc<Wire>,
    service: &mut S,
    request: Request<Incoming>,
    asked: Asked,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    wire.state.begins();
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    let response = {
        // The call may hold the body for as long as it is there.
        let mut call = pin!(service.call(request));
        poll_fn(|cx| {
            wire.wake_overdue(cx);
            call.as_mut().poll(cx)
        })
        .await
    };
    let mut response = response.map_err(Into::into)?;
    let mut left = MOST_LEFT;
    let goes_on = poll_fn(|cx| wire.poll_past_upload(&mut left, cx)).await;
    wire.state.answered.set(true);
    if response.status().is_informational() {
        // There is one answer to a request, and this would not be it.
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    wire.answer(response, asked, goes_on).await
}

/// Says what is left to say, ends our side, and waits a little for the client to end its own
/// where bytes of a cut message may be on their way: closing on them would reset the connection
/// and could take the answer with it.
async fn close(wire: &Wire) {
    if wire.inner.borrow().resets {
        return;
    }
    let cut = wire.mid_message();
    let refusal = wire.take_refusal();
    wire.say_last(refusal.as_ref().map(Refusal::render).unwrap_or_default());
    let goodbye = async {
        if refusal.is_some() {
            timeout(QUIET, poll_fn(|cx| wire.poll_flush(cx))).await??;
        }
        poll_fn(|cx| wire.poll_shutdown(cx)).await?;
        let mut left = LINGER.1;
        while cut && left > 0 {
            match timeout(QUIET, poll_fn(|cx| wire.poll_waste(cx))).await?? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        std::io::Result::Ok(())
    };
    // The client may be gone already; then there is nobody to tell.
    let _ = timeout(LINGER.0, goodbye).await;
}
