//! One part on its way: called, then read.
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, response};
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use super::{Merge, Verdict};
use crate::{body::Body, eager::Calling};

/// How a part ended well.
pub(super) enum Ended<R> {
    /// With this answer, to be merged.
    Read(Response<Bytes>),
    /// With the answer to the request.
    Final(Response<R>),
    /// With one that sends the request whole: it judges so, or is too long.
    Whole,
}

pin_project! {
    /// A part that runs. To be polled with the number of bytes that may still be held.
    #[project = RunningProj]
    pub(super) enum Running<S, Req, R>
    where
        S: Service<Req>,
    {
        Calling { #[pin] inner: Calling<S, Req> },
        Reading { #[pin] body: R, head: Option<response::Parts>, read: BytesMut },
    }
}

impl<S, B, R> Running<S, Request<Body<B>>, Body<R>>
where
    S: Service<Request<Body<B>>, Response = Response<Body<R>>, Error: Into<BoxError>>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Goes on. What is read of the answer is taken off `room`.
    pub(super) fn poll<M: Merge>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut usize,
        merge: &M,
    ) -> Poll<Result<Ended<Body<R>>, BoxError>> {
        loop {
            match self.as_mut().project() {
                RunningProj::Calling { inner } => {
                    let response = ready!(inner.poll(cx)).map_err(Into::into)?;
                    match merge.judge(response.status()) {
                        Verdict::Merge => {}
                        Verdict::Final => return Poll::Ready(Ok(Ended::Final(response))),
                        Verdict::Whole => return Poll::Ready(Ok(Ended::Whole)),
                    }
                    let (head, body) = response.into_parts();
                    if http_body::Body::size_hint(&body).lower() > *room as u64 {
                        return Poll::Ready(Ok(Ended::Whole));
                    }
                    self.set(Self::Reading { body, head: Some(head), read: BytesMut::new() });
                }
                RunningProj::Reading { body, head, read } => {
                    if !ready!(poll_read(body, cx, read, room))? {
                        return Poll::Ready(Ok(Ended::Whole));
                    }
                    let head = head.take().expect("a part is not polled after its end");
                    let body = std::mem::take(read).freeze();
                    return Poll::Ready(Ok(Ended::Read(Response::from_parts(head, body))));
                }
            }
        }
    }
}

/// Reads to the end; whether there was room for it. Trailers are dropped.
fn poll_read<R>(
    mut body: Pin<&mut R>,
    cx: &mut Context<'_>,
    read: &mut BytesMut,
    room: &mut usize,
) -> Poll<Result<bool, R::Error>>
where
    R: http_body::Body<Data = Bytes>,
{
    while !body.is_end_stream() {
        let Some(frame) = ready!(body.as_mut().poll_frame(cx)) else { break };
        let Ok(data) = frame?.into_data() else { continue };
        let Some(left) = room.checked_sub(data.len()) else { return Poll::Ready(Ok(false)) };
        *room = left;
        read.extend_from_slice(&data);
    }
    Poll::Ready(Ok(true))
}
