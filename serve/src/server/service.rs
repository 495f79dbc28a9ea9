//! Between hyper, which speaks HTTP/2, and the caller's tower service: readiness, counting, answers to HEAD.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{
    Method, Request, Response,
    header::{CONTENT_LENGTH, DATE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use super::{
    head::within,
    incoming::Incoming,
    piece::Piece,
    requests::{Request as Own, Requests},
    state::State,
    worker::Shared,
};
use crate::{framing::Violation, refusal::Refusal};

/// Serves the requests of one connection, each with a service of its own: they run side by side.
pub(super) struct Adapter<F> {
    pub(super) make: F,
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<State>,
    pub(super) requests: Rc<Requests>,
}

impl<S, F, B> hyper::service::Service<Request<hyper::body::Incoming>> for Adapter<F>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    F: Fn() -> S,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<Tracked<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        // hyper would send the body, which clients take for an error.
        let is_bare = request.method() == Method::HEAD;
        let own = Own::begin(&self.state, &self.shared.clock, &self.requests);
        let stage = match within(&request, &self.shared.protocols.framing) {
            Ok(()) => {
                let request = request.map(|body| Incoming::stream(body, Rc::clone(&own)));
                Stage::begin((self.make)(), request)
            }
            Err(violation) => {
                self.shared.counters.count_violation(violation);
                Stage::Refused { violation }
            }
        };
        ResponseFuture { is_bare, stage, own, shared: Rc::clone(&self.shared) }
    }
}

pin_project! {
    /// Waits for the service to be ready, calls it, and follows its answer.
    #[project = ResponseFutureProj]
    pub(super) struct ResponseFuture<S, Fut> {
        #[pin]
        stage: Stage<S, Fut>,
        own: Rc<Own>,
        // Whether the answer goes without its body.
        is_bare: bool,
        shared: Rc<Shared>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, Fut> {
        Waiting { service: S, request: Option<Box<Request<Incoming>>> },
        Called { #[pin] future: Fut },
        Refused { violation: Violation },
    }
}

impl<S> Stage<S, S::Future>
where
    S: Service<Request<Incoming>>,
{
    /// Calls the service if it is ready, as it nearly always is.
    fn begin(mut service: S, request: Request<Incoming>) -> Self {
        // Whom it would wake does not matter: if it is not ready, it is asked again.
        if let Poll::Ready(Ok(())) = service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            return Self::Called { future: service.call(request) };
        }
        Self::Waiting { service, request: Some(Box::new(request)) }
    }
}

impl<S, B> Future for ResponseFuture<S, S::Future>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<Tracked<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProj::Waiting { service, request } => {
                    std::task::ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("the stage changes with the call");
                    let future = service.call(*request);
                    this.stage.set(Stage::Called { future });
                }
                StageProj::Called { future } => {
                    let response = std::task::ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(this.answer(response.map(Either::Left))));
                }
                StageProj::Refused { violation } => {
                    let refused = Refusal::of(*violation).response();
                    return Poll::Ready(Ok(
                        this.answer(refused.map(|body| Either::Right(Full::new(body))))
                    ));
                }
            }
        }
    }
}

impl<S, Fut> ResponseFutureProj<'_, S, Fut> {
    /// The answer as it is sent.
    fn answer<B>(&self, mut response: Response<Given<B>>) -> Response<Tracked<B>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let is_bare = *self.is_bare;
        if is_bare {
            keep_length(&mut response);
        }
        let date = || self.shared.date.value();
        response.headers_mut().entry(DATE).or_insert_with(date);
        let own = Rc::clone(self.own);
        response.map(|inner| Tracked { inner, own, is_bare })
    }
}

/// Says how long the body is that the answer goes without.
fn keep_length(response: &mut Response<impl Body>) {
    if let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

/// What an answer's body is: the service's, or what is said of a request that it never saw.
type Given<B> = Either<B, Full<Bytes>>;

pin_project! {
    /// A response body whose pieces are followed until they have left.
    pub(super) struct Tracked<B> {
        #[pin]
        inner: Given<B>,
        own: Rc<Own>,
        is_bare: bool,
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Tracked<B> {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let this = self.project();
        if *this.is_bare {
            return Poll::Ready(None);
        }
        if this.own.has_to_wait() {
            return Poll::Pending;
        }
        let frame = this.inner.poll_frame(cx);
        // A piece gives the turn back.
        this.own.asked();
        frame.map_ok(|frame| frame.map_data(|bytes| this.own.gave(bytes)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_bare || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_bare { SizeHint::with_exact(0) } else { self.inner.size_hint() }
    }
}
