//! Between hyper and the caller's tower service: readiness, counting, and the word that a
//! connection closes.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, DATE, EXPECT},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    incoming::{Incoming, Leftover, Rest},
    state::InFlight,
    worker::Shared,
};

/// Where the service of a request comes from.
pub(super) enum Source<S, F> {
    /// One for the connection: HTTP/1 has one request at a time, and the next behind its body.
    Kept(Rc<RefCell<S>>, Rc<Leftover>),
    /// A new one for each request: they run side by side.
    Made(F),
}

/// Serves the requests of one connection.
pub(super) struct Adapter<S, F> {
    pub(super) source: Source<S, F>,
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<super::state::State>,
}

impl<S, F, B> hyper::service::Service<Request<hyper::body::Incoming>> for Adapter<S, F>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    F: Fn() -> S,
    B: Body,
{
    type Response = Response<Tracked<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future, B>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let (service, leftover) = match &self.source {
            Source::Kept(service, leftover) => (Rc::clone(service), Some(leftover)),
            Source::Made(make) => (Rc::new(RefCell::new(make())), None),
        };
        // For HTTP/1, hyper leaves the body out itself; for HTTP/2 it would send it, which clients take for an error.
        let is_bare = request.method() == Method::HEAD && request.version() == Version::HTTP_2;
        // Who asks whether to send a body was told by the answer.
        let leftover = leftover.filter(|_| !request.headers().contains_key(EXPECT)).cloned();
        let request = request.map(|body| match &leftover {
            Some(leftover) => {
                leftover.await_body();
                Incoming::returning(body, Rc::clone(leftover))
            }
            None => Incoming::alone(body),
        });
        let stage = Stage::begin(service, request);
        ResponseFuture {
            is_bare,
            stage,
            in_flight: Some(InFlight::begin(&self.state, &self.shared.clock)),
            shared: Rc::clone(&self.shared),
            leftover,
        }
    }
}

pin_project! {
    /// Waits for the service to be ready, calls it, reads past what it left of the body, and
    /// follows its answer.
    pub(super) struct ResponseFuture<S, Fut, B> {
        #[pin]
        stage: Stage<S, Fut, B>,
        leftover: Option<Rc<Leftover>>,
        in_flight: Option<InFlight>,
        // Whether the answer goes without its body.
        is_bare: bool,
        shared: Rc<Shared>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, Fut, B> {
        Waiting { service: Rc<RefCell<S>>, request: Option<Box<Request<Incoming>>> },
        Called { #[pin] future: Fut },
        Answered { response: Option<Response<B>>, rest: Option<Rest> },
    }
}

impl<S, B> Stage<S, S::Future, B>
where
    S: Service<Request<Incoming>>,
{
    /// Calls the service if it is ready, as it nearly always is.
    fn begin(service: Rc<RefCell<S>>, request: Request<Incoming>) -> Self {
        let mut called = service.borrow_mut();
        // Whom it would wake does not matter: if it is not ready, it is asked again.
        if let Poll::Ready(Ok(())) = called.poll_ready(&mut Context::from_waker(Waker::noop())) {
            return Self::Called { future: called.call(request) };
        }
        drop(called);
        Self::Waiting { service, request: Some(Box::new(request)) }
    }
}

impl<S, B> Future for ResponseFuture<S, S::Future, B>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<Tracked<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProj::Waiting { service, request } => {
                    let future = {
                        let mut service = service.borrow_mut();
                        std::task::ready!(service.poll_ready(cx))?;
                        let request = request.take().expect("the stage changes with the call");
                        service.call(*request)
                    };
                    this.stage.set(Stage::Called { future });
                }
                StageProj::Called { future } => {
                    let response = Some(std::task::ready!(future.poll(cx))?);
                    // The call may hold the body for as long as it is there.
                    this.stage.set(Stage::Answered { response, rest: None });
                    let left = this.leftover.take().and_then(|leftover| leftover.take());
                    if let StageProj::Answered { rest, .. } = this.stage.as_mut().project() {
                        *rest = left;
                    }
                }
                StageProj::Answered { response, rest } => {
                    let goes_on = match rest {
                        Some(rest) => std::task::ready!(rest.poll_past(cx)),
                        None => true,
                    };
                    let mut response = response.take().expect("nobody polls after the answer");
                    let in_flight = this.in_flight.take();
                    if let Some(in_flight) = &in_flight {
                        in_flight.answered();
                    }
                    let is_bare = *this.is_bare;
                    if is_bare {
                        keep_length(&mut response);
                    }
                    let mut response = response.map(|inner| Tracked { inner, in_flight, is_bare });
                    let date = || this.shared.date.value();
                    response.headers_mut().entry(DATE).or_insert_with(date);
                    let closes = this.shared.draining() || !goes_on;
                    if closes && response.version() < Version::HTTP_2 {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

/// Says how long the body is that the answer goes without.
fn keep_length<B: Body>(response: &mut Response<B>) {
    if let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

pin_project! {
    /// A response body that counts as in flight until it drops.
    pub(super) struct Tracked<B> {
        #[pin]
        inner: B,
        in_flight: Option<InFlight>,
        is_bare: bool,
    }
}

impl<B: Body<Data = Bytes>> Body for Tracked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if *this.is_bare {
            return Poll::Ready(None);
        }
        let poll = this.inner.poll_frame(cx);
        if let Some(in_flight) = this.in_flight {
            match &poll {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => in_flight.gave(),
                _ => in_flight.asked(),
            }
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.is_bare || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_bare { SizeHint::with_exact(0) } else { self.inner.size_hint() }
    }
}
