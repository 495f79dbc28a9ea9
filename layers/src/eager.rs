//! Calls a service that nobody made ready: at once if it is, else when it gets so.
//!
//! What [`oneshot`](tower::ServiceExt::oneshot) does, for services that are nearly always ready. There the request is first
//! stored in the future and then moved out again, and the future is as large as both. Here it goes straight into the
//! call, and only a service that is not ready costs a box to wait in.
use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tower::{Service, ServiceExt as _, util::Oneshot};

/// Calls `service` with `request`.
pub(crate) fn call<S, Req>(mut service: S, request: Req) -> Calling<S, Req>
where
    S: Service<Req>,
{
    // Whom it would wake does not matter: if it is not ready, it is asked again by whoever waits.
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Calling::Called { future: service.call(request) },
        Poll::Ready(Err(_)) | Poll::Pending => {
            Calling::Waiting { inner: Box::pin(service.oneshot(request)) }
        }
    }
}

pin_project! {
    /// The future of [`call`].
    #[project = CallingProj]
    pub(crate) enum Calling<S, Req>
    where
        S: Service<Req>,
    {
        Called { #[pin] future: S::Future },
        Waiting { inner: Pin<Box<Oneshot<S, Req>>> },
    }
}

impl<S, Req> Future for Calling<S, Req>
where
    S: Service<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CallingProj::Called { future } => future.poll(cx),
            CallingProj::Waiting { inner } => inner.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending, sync::Arc};

    use tokio_test::{assert_pending, assert_ready, task};
    use tower::{Layer as _, limit::GlobalConcurrencyLimitLayer, service_fn};

    use super::*;

    #[test]
    fn a_service_that_is_not_ready_is_called_when_it_gets_so() {
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let limit = GlobalConcurrencyLimitLayer::with_semaphore(places);
        let hangs = limit.layer(service_fn(|()| pending::<Result<(), Infallible>>()));
        let answers = limit.layer(service_fn(|()| async { Ok::<_, Infallible>(7) }));

        let mut first = task::spawn(call(hangs, ()));
        assert_pending!(first.poll());
        let mut second = task::spawn(call(answers, ()));
        assert_pending!(second.poll());
        drop(first);
        assert!(second.is_woken());
        assert_eq!(assert_ready!(second.poll()), Ok(7));
    }

    #[test]
    fn a_service_that_fails_to_get_ready_fails_the_call() {
        #[derive(Clone)]
        struct Broken;
        impl Service<()> for Broken {
            type Response = ();
            type Error = &'static str;
            type Future = std::future::Ready<Result<(), &'static str>>;
            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
                Poll::Ready(Err("broken"))
            }
            fn call(&mut self, (): ()) -> Self::Future {
                panic!("called, though not ready")
            }
        }
        let mut calling = task::spawn(call(Broken, ()));
        assert_eq!(assert_ready!(calling.poll()), Err("broken"));
    }
}
