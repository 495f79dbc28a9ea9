//! Gives every request an `X-Request-Id`, and every response the id of its request.
//!
//! An id that the client sent is kept if it is 1 to 64 characters of `A-Z a-z 0-9 _ -` and the only one; anything
//! else is replaced, since ids end up in logs. This is why tower-http's layer is not used here: it keeps whatever
//! comes. New ids are 24 hexadecimal digits, a random prefix for the layer and a counter: unique without a random
//! number for each request. They are no secret and can be guessed.
//!
//! Readiness is the inner service's. Errors pass without an id: put what turns errors into responses inside.
//!
//! ```
//! use http::{Request, Response};
//! use kamaitachi_layers::request_id::RequestIdLayer;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//!
//! let stack = ServiceBuilder::new()
//!     .layer(RequestIdLayer::new())
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(())) }));
//!
//! let request = Request::builder().header("x-request-id", "mine-1").body(())?;
//! assert_eq!(stack.clone().oneshot(request).await?.headers()["x-request-id"], "mine-1");
//! let response = stack.oneshot(Request::new(())).await?;
//! assert_eq!(response.headers()["x-request-id"].len(), 24);
//! # Ok(()) }
//! ```
use std::{
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::Entry};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// The field that carries the id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How many fields a proxy is likely to add further in: room is made for them here, so that the map grows once.
const ROOM: usize = 8;

/// Builds [`RequestId`] services. All services from one layer count together; give each worker a layer of its own
/// where that would make them wait for each other.
#[derive(Clone, Debug)]
pub struct RequestIdLayer {
    ids: Arc<Ids>,
}

#[derive(Debug)]
struct Ids {
    batch: Mutex<Batch>,
}

/// Ids share their memory, a batch at a time: an id costs no allocation, and neither does its copy in the response.
#[derive(Debug)]
struct Batch {
    /// The id that comes after those of `rest`.
    next: [u8; ID_LEN],
    /// Ids that were made and not given yet.
    rest: Bytes,
}

const ID_LEN: usize = 24;
/// How much of an id is the prefix; the rest counts.
const PREFIX_LEN: usize = 8;
const BATCH: usize = 64;

impl RequestIdLayer {
    /// Starts to count, with a prefix of its own.
    #[must_use]
    pub fn new() -> Self {
        // Every `RandomState` is keyed anew; 32 of its bits tell layers and processes apart.
        let random = RandomState::new().hash_one(0_u64);
        let [a, b, c, d, ..] = random.to_le_bytes();
        let mut next = [b'0'; ID_LEN];
        write_hex([a, b, c, d], &mut next[..PREFIX_LEN]);
        let batch = Mutex::new(Batch { next, rest: Bytes::new() });
        Self { ids: Arc::new(Ids { batch }) }
    }
}

impl Default for RequestIdLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl Ids {
    fn next(&self) -> HeaderValue {
        let id = self.batch.lock().next();
        HeaderValue::from_maybe_shared(id).expect("hexadecimal digits are a valid value")
    }

    /// Leaves a good id in place, and puts a new one in the place of anything else.
    fn settle(&self, headers: &mut HeaderMap) -> HeaderValue {
        headers.reserve(ROOM);
        match headers.entry(X_REQUEST_ID) {
            Entry::Occupied(mut sent) => {
                let mut all = sent.iter();
                if let (Some(id), None) = (all.next(), all.next())
                    && is_good(id.as_bytes())
                {
                    return id.clone();
                }
                let id = self.next();
                sent.insert(id.clone());
                id
            }
            Entry::Vacant(none) => none.insert(self.next()).clone(),
        }
    }
}

impl Batch {
    fn next(&mut self) -> Bytes {
        if self.rest.is_empty() {
            self.refill();
        }
        self.rest.split_to(ID_LEN)
    }

    #[cold]
    fn refill(&mut self) {
        let mut text = Vec::with_capacity(BATCH * ID_LEN);
        for _ in 0..BATCH {
            text.extend_from_slice(&self.next);
            count_up(&mut self.next[PREFIX_LEN..]);
        }
        self.rest = text.into();
    }
}

/// Adds one to a number in hexadecimal digits; zero follows the largest.
fn count_up(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = match *digit {
            b'f' => b'0',
            b'9' => b'a',
            other => other + 1,
        };
        if *digit != b'0' {
            return;
        }
    }
}

fn write_hex<const N: usize>(bytes: [u8; N], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, out) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        out[0] = DIGITS[usize::from(byte >> 4)];
        out[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn is_good(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId { inner, ids: Arc::clone(&self.ids) }
    }
}

/// Passes requests and responses on with an id. See the [module](self).
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
    ids: Arc<Ids>,
}

impl<S, B, R> Service<Request<B>> for RequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = self.ids.settle(request.headers_mut());
        ResponseFuture { inner: self.inner.call(request), id: Some(id) }
    }
}

pin_project! {
    /// The future of [`RequestId`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        id: Option<HeaderValue>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(id) = this.id.take() {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, convert::Infallible};

    use tokio_test::block_on;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    fn answered(sent: &[&str]) -> (HeaderValue, HeaderValue) {
        let inner = service_fn(|request: Request<()>| async move {
            let seen = request.headers().get_all(X_REQUEST_ID).iter().collect::<Vec<_>>();
            assert_eq!(seen.len(), 1);
            let mut response = Response::new(seen[0].clone());
            response.headers_mut().insert(X_REQUEST_ID, HeaderValue::from_static("upstream's"));
            Ok::<_, Infallible>(response)
        });
        let mut request = Request::new(());
        for id in sent {
            request.headers_mut().append(X_REQUEST_ID, id.parse().unwrap());
        }
        let response = block_on(RequestIdLayer::new().layer(inner).oneshot(request)).unwrap();
        (response.headers()[X_REQUEST_ID].clone(), response.into_body())
    }

    #[test]
    fn a_good_id_is_kept_and_answered() {
        let longest = "a".repeat(64);
        for id in ["A-z_9", &longest] {
            assert_eq!(answered(&[id]), (id.parse().unwrap(), id.parse().unwrap()));
        }
    }

    #[test]
    fn any_other_id_is_replaced() {
        let too_long = "a".repeat(65);
        for sent in [&[""][..], &["a b"], &["a\x1b"], &["a\"b"], &[&too_long], &["a", "b"], &[]] {
            let sent: Vec<_> = sent.iter().copied().filter(|id| !id.contains('\x1b')).collect();
            let (answered, forwarded) = answered(&sent);
            assert_eq!(answered, forwarded);
            assert_eq!(answered.len(), 24, "{sent:?}");
        }
    }

    #[test]
    fn ids_count_in_hexadecimal_digits() {
        let mut digits = *b"0000";
        for n in 1..=0xffff_u32 {
            count_up(&mut digits);
            assert_eq!(digits, format!("{n:04x}").as_bytes());
        }
        count_up(&mut digits);
        assert_eq!(&digits, b"0000");
    }

    #[test]
    fn ids_do_not_repeat_between_clones_and_layers() {
        let layers = [RequestIdLayer::new(), RequestIdLayer::new()];
        let ids: HashSet<_> = layers
            .iter()
            .flat_map(|layer| [layer.clone(), layer.clone()])
            .flat_map(|layer| (0..100).map(move |_| layer.ids.next()))
            .collect();
        assert_eq!(ids.len(), 400);
        assert!(ids.iter().all(|id| id.len() == ID_LEN));
    }
}
