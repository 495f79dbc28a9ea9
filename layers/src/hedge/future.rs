//! The first try, and those that are made when it is late.
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use pin_project_lite::pin_project;
use tower::{BoxError, Service};

use super::{Event, layer::Shared, offer, ticker::Watch};
use crate::{
    body::Body,
    eager::{self, Calling},
    rejection::Rejection,
    retry::{self, Tried},
};

pin_project! {
    /// The future of [`Hedge`](super::Hedge).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Body<B>>>,
    {
        // `None` when it has failed, and another try goes on.
        #[pin]
        first: Option<S::Future>,
        service: S,
        shared: Arc<Shared>,
        // From the first time that there was no answer.
        watch: Option<Watch>,
        // From the first time that it was late.
        late: Option<Box<Late<S, B>>>,
    }
}

/// What there is beside the first try once that is late.
struct Late<S, B>
where
    S: Service<Request<Body<B>>>,
{
    /// Who was asked first.
    first: Option<Arc<str>>,
    /// Those asked after that, in this order.
    others: Vec<Other<S, B>>,
    /// Tries that may still be made.
    left: u32,
    /// What came back of a try, to be sent on at once.
    back: Option<Request<Bytes>>,
    /// What came back and could not be sent on, and the error to end with when no try is left.
    kept: Option<Request<Bytes>>,
    error: Option<BoxError>,
}

struct Other<S, B>
where
    S: Service<Request<Body<B>>>,
{
    member: Option<Arc<str>>,
    /// When it was asked, counted from when the first one was.
    sent: Duration,
    // Tries are rarely that many, and this keeps the future of the usual one small.
    calling: Pin<Box<Calling<S, Request<Body<B>>>>>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>>,
{
    pub(super) fn new(first: S::Future, service: S, shared: Arc<Shared>) -> Self {
        Self { first: Some(first), service, shared, watch: None, late: None }
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>, Error = BoxError> + Clone,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if this.late.is_some() {
            return self.poll_late(cx);
        }
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            let sent = Duration::ZERO;
            return Poll::Ready(result.map(|response| this.shared.end(this.watch, sent, response)));
        }
        match this.watch {
            None => *this.watch = Some(this.shared.ticker.watch(this.shared.after(), cx)),
            Some(watch) if !watch.is_over(cx) => {}
            Some(_) => return self.poll_late(cx),
        }
        Poll::Pending
    }
}

/// What came of asking for a copy.
enum Copied<R> {
    /// An answer came instead.
    Answered(R),
    /// The try that was asked has failed.
    Failed,
    /// A request for the next member, if there is one.
    Request(Option<Box<Request<Bytes>>>),
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>, Error = BoxError> + Clone,
{
    /// Goes on from when the first answer was late.
    #[cold]
    fn poll_late(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, BoxError>> {
        let this = self.as_mut().project();
        let left = this.shared.most.saturating_sub(1);
        this.late.get_or_insert_with(|| Box::new(Late::new(left)));
        loop {
            if let Poll::Ready(result) = self.as_mut().poll_tries(cx) {
                return Poll::Ready(result);
            }
            let this = self.as_mut().project();
            let (Some(late), Some(watch)) = (this.late, this.watch) else { return Poll::Pending };
            let request = match late.back.take() {
                Some(request) => request,
                None if !watch.is_over(cx) => return Poll::Pending,
                None if late.left == 0 => {
                    watch.give_up();
                    return Poll::Pending;
                }
                None => match self.as_mut().copy(cx) {
                    Copied::Answered(response) => return Poll::Ready(Ok(response)),
                    Copied::Failed => continue,
                    Copied::Request(Some(request)) => *request,
                    Copied::Request(None) => {
                        self.as_mut().project().watch.as_ref().inspect(|watch| watch.give_up());
                        return Poll::Pending;
                    }
                },
            };
            self.as_mut().ask_another(request, cx);
        }
    }

    /// Polls every try.
    fn poll_tries(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, BoxError>> {
        let mut this = self.project();
        let Some(late) = this.late else { return Poll::Pending };
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(result) = first.poll(cx)
        {
            this.first.set(None);
            match result {
                Ok(response) => {
                    let sent = Duration::ZERO;
                    return Poll::Ready(Ok(this.shared.end(this.watch, sent, response)));
                }
                Err(error) => late.failed(error, this.shared),
            }
        }
        let mut at = 0;
        while at < late.others.len() {
            match late.others[at].calling.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(response)) => {
                    let sent = late.won(at, this.first.is_some(), this.shared);
                    return Poll::Ready(Ok(this.shared.end(this.watch, sent, response)));
                }
                Poll::Ready(Err(error)) => {
                    late.others.remove(at);
                    late.failed(error, this.shared);
                }
            }
        }
        if this.first.is_some() || !late.others.is_empty() || late.back.is_some() {
            return Poll::Pending;
        }
        let kept = late.kept.take();
        late.error.take().map_or(Poll::Pending, |error| {
            Poll::Ready(Err(match kept {
                Some(request) => retry::put_back(request, error),
                None => error,
            }))
        })
    }

    /// Asks the newest try for a copy of its request, and makes it fit for the next member.
    fn copy(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Copied<S::Response> {
        let mut this = self.project();
        let Some(late) = this.late else { return Copied::Request(None) };
        let newest = late.others.len().checked_sub(1);
        let (polled, offered) =
            offer::collect(|| match (newest, this.first.as_mut().as_pin_mut()) {
                (Some(newest), _) => late.others[newest].calling.as_mut().poll(cx),
                (None, Some(first)) => first.poll(cx),
                (None, None) => Poll::Pending,
            });
        match (polled, newest) {
            (Poll::Ready(Ok(response)), newest) => {
                let sent = newest.map_or(Duration::ZERO, |newest| {
                    late.won(newest, this.first.is_some(), this.shared)
                });
                return Copied::Answered(this.shared.end(this.watch, sent, response));
            }
            (Poll::Ready(Err(error)), newest) => {
                match newest {
                    Some(newest) => drop(late.others.remove(newest)),
                    None => this.first.set(None),
                }
                late.failed(error, this.shared);
                return Copied::Failed;
            }
            (Poll::Pending, Some(newest)) => late.others[newest].member.clone_from(&offered.member),
            (Poll::Pending, None) => late.first.clone_from(&offered.member),
        }
        let copy = offered.request.filter(|_| !offered.is_last);
        Copied::Request(copy.map(|mut request| {
            let tried: &mut Tried = request.extensions_mut().get_or_insert_default();
            tried.extend(offered.member);
            Box::new(request)
        }))
    }

    /// Sends the request to one more, if that can be paid for.
    fn ask_another(self: Pin<&mut Self>, mut request: Request<Bytes>, cx: &mut Context<'_>) {
        let this = self.project();
        let (Some(late), Some(watch)) = (this.late, this.watch) else { return };
        // There may be budget later, and yet another may be late.
        watch.again(this.shared.after(), cx);
        if !this.shared.budget.withdraw() {
            this.shared.tell(Event::Unaffordable);
            late.kept = Some(request);
            return;
        }
        let tried: &mut Tried = request.extensions_mut().get_or_insert_default();
        tried.set_only_fit(true);
        let calling = Box::pin(eager::call(this.service.clone(), request.map(Body::buffered)));
        this.shared.tell(Event::Sent { late: late.newest() });
        late.left = late.left.saturating_sub(1);
        late.others.push(Other { member: None, sent: watch.lasted(), calling });
    }
}

impl Shared {
    /// Notes how long the answer took of the one that was asked when `sent` had passed. The wait before that is none of its
    /// own: if it counted, each late answer would make the next one later.
    fn end<R>(&self, watch: &mut Option<Watch>, sent: Duration, response: R) -> R {
        let lasted = watch.take().map_or(Duration::ZERO, |watch| watch.lasted());
        self.lateness.lock().record(lasted.saturating_sub(sent));
        response
    }
}

impl<S, B> Late<S, B>
where
    S: Service<Request<Body<B>>>,
{
    fn new(left: u32) -> Self {
        Self { first: None, others: Vec::new(), left, back: None, kept: None, error: None }
    }

    /// Who was asked last.
    fn newest(&self) -> Option<&str> {
        self.others.last().map_or(self.first.as_deref(), |other| other.member.as_deref())
    }

    /// Tells whom the one at `at` has left behind; answers when that one was asked.
    fn won(&self, at: usize, first_waits: bool, shared: &Shared) -> Duration {
        let first = first_waits.then_some(&self.first);
        let before = self.others[..at].iter().map(|other| &other.member);
        for late in first.into_iter().chain(before).flatten() {
            shared.tell(Event::Lost { late });
        }
        shared.tell(Event::Won);
        self.others[at].sent
    }

    /// A try has failed. What it was about goes on to the next, if it can.
    fn failed(&mut self, mut error: BoxError, shared: &Shared) {
        if matches!(Rejection::find(&*error), Some(Rejection::NoUpstream)) {
            // Nobody was there to be asked after all.
            shared.budget.give_back();
            self.left = 0;
            self.error.get_or_insert(error);
            return;
        }
        if let Some(back) = retry::take_back(&mut error) {
            *(if self.left > 0 { &mut self.back } else { &mut self.kept }) = Some(back);
        }
        self.error = Some(error);
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<Body<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("is_late", &self.late.is_some())
            .finish_non_exhaustive()
    }
}
