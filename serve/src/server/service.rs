//! Between hyper and the caller's tower service: readiness, counting, and the word that a
//! connection closes.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower::Service;

use super::{state::InFlight, worker::Shared};

/// Where the service of a request comes from.
pub(super) enum Source<S, F> {
    /// One for the connection: HTTP/1 has one request at a time.
    Kept(Rc<RefCell<S>>),
    /// A new one for each request: they run side by side.
    Made(F),
}

/// Serves the requests of one connection.
pub(super) struct Adapter<S, F> {
    pub(super) source: Source<S, F>,
    pub(super) shared: Rc<Shared>,
    pub(super) state: Rc<super::state::State>,
}

impl<S, F, B> hyper::service::Service<Request<Incoming>> for Adapter<S, F>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    F: Fn() -> S,
{
    type Response = Response<Tracked<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = match &self.source {
            Source::Kept(service) => Rc::clone(service),
            Source::Made(make) => Rc::new(RefCell::new(make())),
        };
        ResponseFuture {
            stage: Stage::Waiting { service, request: Some(request) },
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
        shared: Rc<Shared>,
    }
}

pin_project! {
    #[project = StageProj]
    enum Stage<S, Fut> {
        Waiting { service: Rc<RefCell<S>>, request: Option<Request<Incoming>> },
        Called { #[pin] future: Fut },
    }
}

impl<S, B> Future for ResponseFuture<S, S::Future>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
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
                        service.call(request)
                    };
                    this.stage.set(Stage::Called { future });
                }
                StageProj::Called { future } => {
                    let response = std::task::ready!(future.poll(cx))?;
                    let in_flight = this.in_flight.take();
                    if let Some(in_flight) = &in_flight {
                        in_flight.answered();
                    }
                    let mut response = response.map(|inner| Tracked { inner, in_flight });
                    if this.shared.draining() && response.version() < Version::HTTP_2 {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

pin_project! {
    /// A response body that counts as in flight until it drops.
    pub(super) struct Tracked<B> {
        #[pin]
        inner: B,
        in_flight: Option<InFlight>,
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
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
