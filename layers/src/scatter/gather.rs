//! All parts of one request, until there is one answer.
use std::{
    pin::Pin,
    task::{Context, Poll},
    vec::IntoIter,
};

use bytes::Bytes;
use http::{
    Request, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use tower::{BoxError, Service};

use super::{
    Merge, Part, Parts,
    part::{Ended, Running},
};
use crate::{body::Body, eager};

/// How it ended.
pub(super) enum Gathered<B, R> {
    /// With this answer, which has a part of every part's.
    Merged(Response<Body<R>>),
    /// With the answer to one part.
    Final(Response<Body<R>>),
    /// It cannot be answered in parts: here is the request as it was.
    Whole(Request<Body<B>>),
}

type Run<S, B, R> = Pin<Box<Running<S, Request<Body<B>>, Body<R>>>>;

/// The parts of one request.
pub(super) struct Gather<S, B, R, M>
where
    S: Service<Request<Body<B>>>,
{
    inner: S,
    waiting: std::iter::Enumerate<IntoIter<Part>>,
    /// By their places. They are few, so that each wake-up polls all.
    running: Vec<(usize, Run<S, B, R>)>,
    at_once: usize,
    /// Bytes of answers that may still be held.
    room: usize,
    answers: Vec<Option<Response<Bytes>>>,
    /// `None` once it has ended.
    held: Option<Held<B, M>>,
}

/// The request, and what becomes of its answers.
struct Held<B, M> {
    /// Parts get the head from here, and the whole is sent if parts will not do.
    whole: Request<Body<B>>,
    fields: Vec<(http::HeaderName, http::HeaderValue)>,
    merge: M,
}

impl<B, M> Held<B, M> {
    fn request(&self, part: Part) -> Request<Body<B>> {
        let mut request = Request::new(Body::buffered(part.body));
        *request.method_mut() = self.whole.method().clone();
        *request.uri_mut() = self.whole.uri().clone();
        *request.version_mut() = self.whole.version();
        *request.headers_mut() = self.whole.headers().clone();
        *request.extensions_mut() = self.whole.extensions().clone();
        for (name, value) in &self.fields {
            request.headers_mut().insert(name, value.clone());
        }
        request.extensions_mut().insert(part.key);
        request
    }
}

impl<S, B, R, M> Gather<S, B, R, M>
where
    S: Service<Request<Body<B>>, Response = Response<Body<R>>, Error: Into<BoxError>> + Clone,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
    M: Merge,
{
    pub(super) fn new(
        inner: S,
        whole: Request<Body<B>>,
        parts: Parts<M>,
        at_once: usize,
        room: usize,
    ) -> Self {
        let Parts { parts, fields, merge } = parts;
        let mut answers = Vec::new();
        answers.resize_with(parts.len(), || None);
        let waiting = parts.into_iter().enumerate();
        let held = Some(Held { whole, fields, merge });
        Self { inner, waiting, running: Vec::new(), at_once, room, answers, held }
    }

    /// Goes on with every part; pending until there is an answer, or one will not do.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Gathered<B, R>, BoxError>> {
        loop {
            self.start();
            let before = self.running.len();
            if let Some(end) = self.poll_running(cx) {
                self.running.clear();
                return Poll::Ready(end);
            }
            if self.running.is_empty() && self.waiting.len() == 0 {
                return Poll::Ready(Ok(self.merge()));
            }
            // Whoever ended made a place, and who takes it has to be polled.
            if self.running.len() == before || self.waiting.len() == 0 {
                return Poll::Pending;
            }
        }
    }

    /// Calls as many of those that wait as there are places.
    fn start(&mut self) {
        let held = self.held.as_ref().expect("not polled after its end");
        let places = self.at_once - self.running.len();
        for (place, part) in self.waiting.by_ref().take(places) {
            let inner = eager::call(self.inner.clone(), held.request(part));
            self.running.push((place, Box::pin(Running::Calling { inner })));
        }
    }

    /// Polls all that run; how it ends, if one of them ends it.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Option<Result<Gathered<B, R>, BoxError>> {
        let mut at = 0;
        while let Some((place, run)) = self.running.get_mut(at) {
            let merge = &self.held.as_ref()?.merge;
            match run.as_mut().poll(cx, &mut self.room, merge) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(Ended::Read(answer))) => {
                    self.answers[*place] = Some(answer);
                    self.running.swap_remove(at);
                }
                Poll::Ready(Ok(Ended::Final(answer))) => return Some(Ok(Gathered::Final(answer))),
                Poll::Ready(Ok(Ended::Whole)) => return Some(Ok(Gathered::Whole(self.whole()))),
                Poll::Ready(Err(error)) => return Some(Err(error)),
            }
        }
        None
    }

    /// The service that parts were sent to.
    pub(super) fn inner(&self) -> S {
        self.inner.clone()
    }

    fn whole(&mut self) -> Request<Body<B>> {
        self.held.take().expect("not polled after its end").whole
    }

    fn merge(&mut self) -> Gathered<B, R> {
        let Held { whole, merge, .. } = self.held.take().expect("not polled after its end");
        let answers = std::mem::take(&mut self.answers).into_iter().flatten().collect();
        match merge.merge(answers) {
            Some(mut answer) => {
                // Whoever merges starts from a part's head, but the body is another.
                answer.headers_mut().remove(CONTENT_LENGTH);
                answer.headers_mut().remove(TRANSFER_ENCODING);
                Gathered::Merged(answer.map(Body::buffered))
            }
            None => Gathered::Whole(whole),
        }
    }
}
