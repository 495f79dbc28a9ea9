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
use pin_project_lite::pin_project;
use tower::Service;

use super::{
    incoming::Incoming,
    state::{InFlight, State},
    worker::Shared,
};

/// Serves the requests of one connection, each with a service of its own: they run side by side.
pub(super) struct Adapter<F> {
    pub(super) make: F,
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<State>,
}

impl<S, F, B> hyper::service::Service<Request<hyper::body::Incoming>> for Adapter<F>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    F: Fn() -> S,
    B: Body,
{
    type Response = Response<Tracked<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        // hyper would send the body, which clients take for an error.
        let is_bare = request.method() == Method::HEAD;
        ResponseFuture {
            is_bare,
            stage: Stage::begin((self.make)(), request.map(Incoming::stream)),
            in_flight: Some(InFlight::begin(&self.state, &self.shared.clock)),
            shared: Rc::clone(&self.shared),
        }
    }
}

pin_project! {
    /// Waits for the service to be ready, calls it, and follows its answer.
    pub(super) struct ResponseFuture<S, Fut> {
        #[pin]
        stage: Stage<S, Fut>,
        in_flight: Option<InFlight>,
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
    B: Body,
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
                    let mut response = std::task::ready!(future.poll(cx))?;
                    let in_flight = this.in_flight.take();
                    if let Some(in_flight) = &in_flight {
                        in_flight.answered();
                    }
                    let is_bare = *this.is_bare;
                    if is_bare {
                        keep_length(&mut response);
                    }
                    let date = || this.shared.date.value();
                    response.headers_mut().entry(DATE).or_insert_with(date);
                    return Poll::Ready(Ok(response.map(|inner| Tracked {
                        inner,
                        in_flight,
                        is_bare,
                    })));
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
