use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{
    BoxError, Layer as _, Service, ServiceBuilder, ServiceExt as _,
    limit::GlobalConcurrencyLimitLayer, retry::RetryLayer, service_fn,
};

use super::*;
use crate::{
    body::Body,
    head::Head,
    key::RoutingKey,
    retry::{NextNode, SharedBudget, hand_back},
    select::{Member, Pool, Select},
    testing::{Piece, Pieces},
};

type Req = Request<Body<Pieces>>;
type Answer = Response<Body<Pieces>>;

const X_PART: HeaderName = HeaderName::from_static("x-part");

/// Every word is a part; `whole` at the start leaves a request whole.
#[derive(Clone)]
struct Words;

/// Joins answers, unless one of them is `ODD`.
struct Joined;

impl Split for Words {
    type Merge = Joined;

    fn split(&self, _: Head<'_>, body: &Bytes) -> Option<Parts<Joined>> {
        if body.starts_with(b"whole") {
            return None;
        }
        let words = body.split(|byte| *byte == b' ').map(|word| body.slice_ref(word));
        let parts = words.map(|word| Part { key: RoutingKey(word.clone()), body: word }).collect();
        let fields = vec![(X_PART, HeaderValue::from_static("1"))];
        Some(Parts { parts, fields, merge: Joined })
    }
}

impl Merge for Joined {
    fn merge(self, answers: Vec<Response<Bytes>>) -> Option<Response<Bytes>> {
        let bodies: Vec<Bytes> = answers.into_iter().map(Response::into_body).collect();
        let is_odd = bodies.iter().any(|body| body == "ODD");
        let mut joined = Response::new(Bytes::from(bodies.join(&b' ')));
        joined.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(1));
        (!is_odd).then_some(joined)
    }
}

/// A service that does as a part's body says, and notes what it is asked.
#[derive(Clone)]
struct Inner {
    asked: Arc<Mutex<Vec<String>>>,
    /// Requests under way.
    active: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// What those that wait wait for.
    gate: Arc<Semaphore>,
}

struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Inner {
    fn new() -> Self {
        let (asked, active, most) = Default::default();
        Self { asked, active, most, gate: Arc::new(Semaphore::new(0)) }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }

    fn service(
        &self,
    ) -> impl Service<Req, Response = Answer, Error = BoxError, Future: Send> + Clone + Send + use<>
    {
        let inner = self.clone();
        service_fn(move |request: Req| inner.clone().answer(request))
    }

    async fn answer(self, request: Req) -> Result<Answer, BoxError> {
        let body = String::from_utf8(request.body().bytes().unwrap_or(&Bytes::new()).to_vec())?;
        self.asked.lock().push(body.clone());
        let now = self.active.fetch_add(1, Relaxed) + 1;
        let _active = Active(Arc::clone(&self.active));
        self.most.fetch_max(now, Relaxed);
        let streaming =
            |pieces: Vec<Piece>| Ok(Response::new(Body::streaming(Pieces::new(pieces))));
        if body.contains(' ') {
            return Ok(Response::new(Body::buffered(format!("<{body}>").into())));
        }
        match &*body {
            "waits" => drop(self.gate.acquire().await?),
            "fails" => return Err("fails".into()),
            "long" => return Ok(Response::new(Body::buffered(vec![b'x'; 100].into()))),
            "endless" => return streaming(vec![Piece::Data(b"0123456789"); 20]),
            "pieces" => return streaming(vec![Piece::Data(b"a"), Piece::Wait, Piece::Data(b"b")]),
            "breaks" => return streaming(vec![Piece::Data(b"a"), Piece::Broken]),
            _ => {}
        }
        let mut response = Response::new(Body::buffered(body.to_uppercase().into()));
        if let Ok(status) = StatusCode::from_bytes(body.as_bytes()) {
            *response.status_mut() = status;
        }
        Ok(response)
    }
}

fn request(body: &'static str) -> Req {
    Request::new(Body::buffered(Bytes::from_static(body.as_bytes())))
}

fn layer() -> ScatterLayer<Words> {
    ScatterLayer::new(Words).limit(120)
}

async fn ask(inner: &Inner, body: &'static str) -> Result<(u16, Bytes), BoxError> {
    let answer = layer().layer(inner.service()).oneshot(request(body)).await?;
    let (head, body) = answer.into_parts();
    Ok((head.status.as_u16(), crate::body::collect(body, 1000).await?))
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_parts_whoever_is_first() {
    let inner = Inner::new();
    let mut asking = task::spawn(layer().layer(inner.service()).oneshot(request("waits b pieces")));
    assert_pending!(asking.poll());
    assert_eq!(inner.asked(), ["waits", "b", "pieces"], "all run side by side");
    inner.gate.add_permits(1);
    assert!(asking.is_woken());
    let answer = asking.await.unwrap();
    assert_eq!(answer.body().bytes().unwrap(), "WAITS B ab");
    assert!(
        !answer.headers().contains_key(CONTENT_LENGTH),
        "the length of one part is not that of all"
    );
}

#[tokio::test]
async fn no_more_run_at_a_time_than_may_and_the_others_follow() {
    let inner = Inner::new();
    let layer = layer().at_once(NonZeroUsize::new(2).unwrap());
    let mut asking =
        task::spawn(layer.layer(inner.service()).oneshot(request("a waits b c waits d e")));
    assert_pending!(asking.poll());
    assert_eq!(inner.asked(), ["a", "waits", "b", "c", "waits"]);
    assert_eq!(inner.active.load(Relaxed), 2);
    inner.gate.add_permits(1);
    assert_eq!(asking.await.unwrap().body().bytes().unwrap(), "A WAITS B C WAITS D E");
    assert_eq!((inner.most.load(Relaxed), inner.active.load(Relaxed)), (2, 0));
}

#[tokio::test]
async fn a_part_that_fails_fails_the_request_and_gives_the_others_up() {
    let inner = Inner::new();
    for body in ["waits fails", "fails waits", "a breaks"] {
        let error = ask(&inner, body).await.unwrap_err().to_string();
        assert_eq!(error, if body.contains("fails") { "fails" } else { "broken" });
        assert_eq!(inner.active.load(Relaxed), 0, "{body}");
    }
    let (status, body) = ask(&inner, "a waits 503").await.unwrap();
    assert_eq!((status, &body[..]), (503, &b"503"[..]));
    assert_eq!(inner.active.load(Relaxed), 0);
}

#[tokio::test]
async fn what_cannot_be_put_together_is_asked_whole() {
    let inner = Inner::new();
    for body in ["a 400 waits", "a odd", "a 404", "302 a", "long long", "a endless waits"] {
        let (status, answer) = ask(&inner, body).await.unwrap();
        assert_eq!((status, answer), (200, Bytes::from(format!("<{body}>"))));
        assert_eq!(inner.asked().last().unwrap(), body);
        assert_eq!(inner.active.load(Relaxed), 0);
    }
    assert_eq!(ask(&inner, "a long").await.unwrap().1.len(), 102, "what fits is merged");
}

#[tokio::test]
async fn what_is_not_split_streams_through_untouched() {
    let inner = Inner::new();
    assert_eq!(ask(&inner, "whole").await.unwrap().1, "WHOLE");
    assert_eq!(inner.asked(), ["whole"]);
    let body = Body::streaming(Pieces::new([Piece::Data(b"a b")]));
    let answer = layer().layer(inner.service()).oneshot(Request::new(body)).await.unwrap();
    assert_eq!(answer.into_body().bytes().unwrap(), "");
    assert_eq!(inner.asked(), [""], "a streaming body is not looked at");
    let endless = service_fn(|_: Req| async {
        let pieces = Pieces::new([Piece::Data(b"a"), Piece::Never]);
        Ok::<_, BoxError>(Response::new(Body::streaming(pieces)))
    });
    let answer = layer().layer(endless).oneshot(request("whole")).await.unwrap();
    assert!(answer.body().bytes().is_none(), "its answer is not buffered");
}

#[tokio::test]
async fn a_part_is_the_request_with_its_own_body_key_and_fields() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner = service_fn(|request: Req| {
        seen.lock().push(request);
        async { Ok::<Answer, BoxError>(Response::new(Body::empty())) }
    });
    let mut whole = request("a b");
    *whole.uri_mut() = "/x?y".parse().unwrap();
    *whole.method_mut() = http::Method::PUT;
    whole.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    whole.headers_mut().insert(X_PART, HeaderValue::from_static("theirs"));
    whole.extensions_mut().insert(RoutingKey::from("first"));
    whole.extensions_mut().insert(7_u8);
    layer().layer(inner).oneshot(whole).await.unwrap();
    for (part, word) in seen.lock().iter().zip(["a", "b"]) {
        assert_eq!(part.body().bytes().unwrap(), word);
        assert_eq!((part.uri().to_string().as_str(), part.method().as_str()), ("/x?y", "PUT"));
        assert_eq!(
            (&part.headers()[ACCEPT_ENCODING], &part.headers()[X_PART]),
            (&"gzip".parse().unwrap(), &"1".parse().unwrap())
        );
        assert_eq!(part.extensions().get(), Some(&RoutingKey::from(word)));
        assert_eq!(part.extensions().get(), Some(&7_u8));
    }
}

#[tokio::test]
async fn readiness_is_awaited_on_the_clone_that_is_called_and_nothing_is_left_behind() {
    let inner = Inner::new();
    let places = Arc::new(Semaphore::new(1));
    let stack = ServiceBuilder::new()
        .layer(layer())
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&places)))
        .service(inner.service());
    let answer = stack.clone().oneshot(request("a b c")).await.unwrap();
    assert_eq!(answer.body().bytes().unwrap(), "A B C");
    assert_eq!(inner.most.load(Relaxed), 1, "one place, so one at a time");

    let mut given_up = task::spawn(stack.oneshot(request("waits waits b")));
    assert_pending!(given_up.poll());
    assert_eq!((places.available_permits(), inner.active.load(Relaxed)), (0, 1));
    drop(given_up);
    assert_eq!((places.available_permits(), inner.active.load(Relaxed)), (1, 0));
}

#[tokio::test]
async fn a_part_whose_owner_is_gone_goes_to_the_successor() {
    let pool = Pool::default();
    let inner = Inner::new();
    pool.set(["n:1", "n:2", "n:3"].map(|name| {
        let answers = inner.service();
        let endpoint = service_fn(move |request: Req| {
            let answers = answers.clone();
            async move {
                if name == "n:2" {
                    Err(hand_back(request, "refused"))
                } else {
                    answers.oneshot(request).await
                }
            }
        });
        Member::new(name, endpoint).unwrap()
    }));
    let budget = SharedBudget::new(kamaitachi_policies::budget::BudgetConfig::default());
    let stack = ServiceBuilder::new()
        .layer(layer())
        .layer(RetryLayer::new(NextNode::new(2, budget)))
        .service(Select::new(pool.clone()));
    let members = pool.members();
    let owner = |key: &str| members.iter().nth(members.position(key.as_bytes()).unwrap()).unwrap();
    assert!(["a", "b", "c", "d", "e"].iter().any(|key| **owner(key).name() == *"n:2"));
    let answer = stack.oneshot(request("a b c d e")).await.unwrap();
    assert_eq!(answer.body().bytes().unwrap(), "A B C D E");
}

#[test]
fn futures_can_be_sent_where_the_inner_ones_can() {
    fn sent<T: Send>(_: &T) {}
    sent(&layer().layer(Inner::new().service()).oneshot(request("a b")));
}

#[test]
fn one_task_drives_all_parts() {
    let inner = Inner::new();
    let mut asking = task::spawn(layer().layer(inner.service()).oneshot(request("waits waits")));
    assert_pending!(asking.poll());
    inner.gate.add_permits(1);
    assert!(asking.is_woken());
    assert_eq!(assert_ready!(asking.poll()).unwrap().body().bytes().unwrap(), "WAITS WAITS");
}
