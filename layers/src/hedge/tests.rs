use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use kamaitachi_policies::{
    budget::BudgetConfig,
    lateness::LatenessConfig,
    ring::{DEFAULT_REPLICAS, Ring, Spread},
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tower::{
    BoxError, Layer as _, ServiceExt as _, retry::RetryLayer, service_fn, util::BoxCloneService,
};

use super::*;
use crate::{
    body::Body,
    key::RoutingKey,
    retry::{NextNode, SharedBudget, hand_back},
    select::{Member, Pool, Select},
    testing::{Piece, Pieces},
};

const NAMES: [&str; 3] = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];
const LATE: Duration = Duration::from_millis(50);

type Req = Request<Body<Pieces>>;
type Endpoint = BoxCloneService<Req, Response<String>, BoxError>;

/// What a member does, after so many milliseconds.
#[derive(Clone, Copy, Debug)]
enum Does {
    Echoes(u64),
    HandsBack(u64),
    Fails(u64),
    Hangs,
}
use Does::{Echoes, Fails, HandsBack, Hangs};

/// A pool of the members that own `k` in this order, a hedge in front of it, and what happens.
struct Rig {
    pool: Pool<Endpoint>,
    order: Vec<&'static str>,
    asked: Arc<Mutex<Vec<&'static str>>>,
    /// Tries that were begun and have not ended.
    open: Arc<AtomicUsize>,
    budget: SharedBudget,
    ticker: Ticker,
    events: Arc<Mutex<Vec<String>>>,
}

/// Counts itself while it lives.
struct Open(Arc<AtomicUsize>);
impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn rig(does: &[Does]) -> Rig {
    let ring = Ring::new(NAMES[..does.len()].iter().copied(), DEFAULT_REPLICAS, Spread::Plain);
    let name = |node| NAMES.into_iter().find(|name| Some(*name) == ring.name(node)).unwrap();
    let order: Vec<_> = ring.successors(b"k").map(name).collect();
    let (asked, open) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
    let pool = Pool::default();
    pool.set(order.iter().zip(does).map(|(name, does)| endpoint(name, *does, &asked, &open)));
    let budget = SharedBudget::new(BudgetConfig::new(0, 1).unwrap());
    let ticker = Ticker::new();
    tokio::spawn(ticker.drive());
    Rig { pool, order, asked, open, budget, ticker, events: Arc::default() }
}

fn endpoint(
    name: &'static str,
    does: Does,
    asked: &Arc<Mutex<Vec<&'static str>>>,
    open: &Arc<AtomicUsize>,
) -> Member<Endpoint> {
    let (asked, open) = (Arc::clone(asked), Arc::clone(open));
    let service = service_fn(move |request: Req| {
        asked.lock().push(name);
        open.fetch_add(1, Relaxed);
        let open = Open(Arc::clone(&open));
        async move {
            let _open = open;
            let (head, body) = request.into_parts();
            let copy = || Some(Request::from_parts(head.clone(), body.bytes()?.clone()));
            let after = |millis| offering(copy, sleep(Duration::from_millis(millis)));
            let content = || String::from_utf8(body.bytes().unwrap().to_vec()).unwrap();
            match does {
                Echoes(millis) => {
                    after(millis).await;
                    Ok(Response::new(format!(
                        "{name} {} {}",
                        head.headers["x"].to_str()?,
                        content()
                    )))
                }
                HandsBack(millis) => {
                    after(millis).await;
                    Err(hand_back(Request::from_parts(head.clone(), body), "refused"))
                }
                Fails(millis) => {
                    after(millis).await;
                    Err("reset".into())
                }
                Hangs => offering(copy, pending()).await,
            }
        }
    });
    Member::new(name, BoxCloneService::new(service)).unwrap()
}

fn request() -> Req {
    let mut request =
        Request::post("/x").header("x", "y").body(Body::buffered("b".into())).unwrap();
    request.extensions_mut().insert(RoutingKey::from("k"));
    request
}

impl Rig {
    fn layer(&self, tries: u32) -> HedgeLayer {
        let events = Arc::clone(&self.events);
        let late = LatenessConfig::new(LATE, LATE).unwrap();
        HedgeLayer::new(self.ticker.clone(), self.budget.clone(), late)
            .at_most(tries)
            .observing(move |event| events.lock().push(format!("{event:?}")))
    }

    /// The answer or the error, and after how many milliseconds.
    async fn call(&self, tries: u32, request: Req) -> (Result<String, String>, u128) {
        let hedged = self.layer(tries).layer(Select::new(self.pool.clone()));
        let retry = NextNode::new(tries, self.budget.clone());
        let began = Instant::now();
        let answer = RetryLayer::new(retry).layer(hedged).oneshot(request).await;
        let answer = answer.map(Response::into_body).map_err(|error| error.to_string());
        (answer, began.elapsed().as_millis())
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock())
    }

    fn echo(&self, at: usize) -> Result<String, String> {
        Ok(format!("{} y b", self.order[at]))
    }
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_asked_of_the_next_member_once_it_is_late() {
    let rig = rig(&[Hangs, Echoes(5), Echoes(5)]);
    let (answer, after) = rig.call(3, request()).await;
    assert_eq!(answer, rig.echo(1));
    assert!((50..150).contains(&after), "{after}");
    assert_eq!(rig.asked(), rig.order[..2]);
    assert_eq!(rig.open.load(Relaxed), 0, "the other try is given up");
    assert_eq!(rig.budget.balance(), 9);
    let lost = format!("Lost {{ late: {:?} }}", rig.order[0]);
    let sent = format!("Sent {{ late: Some({:?}) }}", rig.order[0]);
    assert_eq!(*rig.events.lock(), [sent, lost, "Won".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_asked_for_once_and_costs_no_budget() {
    let rig = rig(&[Echoes(40), Echoes(0)]);
    assert_eq!(rig.call(3, request()).await.0, rig.echo(0));
    assert_eq!((rig.asked().len(), rig.budget.balance()), (1, 10));
    assert!(rig.events.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_may_still_win() {
    let rig = rig(&[Echoes(200), Echoes(5_000)]);
    let (answer, after) = rig.call(2, request()).await;
    assert_eq!((answer, after), (rig.echo(0), 200));
    assert_eq!((rig.asked().len(), rig.open.load(Relaxed)), (2, 0));
    assert_eq!(rig.events.lock().len(), 1, "nobody has lost: {:?}", rig.events);
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_only_member_is_waited_for() {
    let rig = rig(&[Echoes(5_000)]);
    assert_eq!(rig.call(3, request()).await, (rig.echo(0), 5_000));
    assert_eq!((rig.asked().len(), rig.budget.balance()), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn members_that_are_down_are_not_asked_for_being_late() {
    let rig = rig(&[Echoes(5_000), Echoes(0)]);
    for member in &*rig.pool.members() {
        member.health().set(**member.name() == *rig.order[0]);
    }
    assert_eq!(rig.call(3, request()).await, (rig.echo(0), 5_000));
    assert_eq!((rig.asked().len(), rig.budget.balance()), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn without_budget_it_waits_until_there_is_some() {
    let rig = rig(&[Echoes(5_000), Echoes(0)]);
    while rig.budget.withdraw() {}
    assert_eq!(rig.call(3, request()).await, (rig.echo(0), 5_000));
    assert!(rig.events.lock().iter().all(|event| event == "Unaffordable"));
    assert_eq!(rig.asked().len(), 1);
    let (answer, after) = rig.call(3, request()).await;
    assert_eq!(answer, rig.echo(0), "after {after}");
    assert_eq!(rig.call(3, request()).await.0, rig.echo(1), "the budget's ten seconds are over");
}

#[tokio::test(start_paused = true)]
async fn a_streaming_body_is_sent_once() {
    let rig = rig(&[Hangs, Echoes(0)]);
    let mut request = request();
    *request.body_mut() = Body::streaming(Pieces::new([Piece::Data(b"a")]));
    let waited = timeout(Duration::from_secs(60), rig.call(3, request)).await;
    assert!(waited.is_err());
    assert_eq!((rig.asked().len(), rig.open.load(Relaxed)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn each_that_hangs_is_late_in_its_turn_up_to_so_many() {
    let rig_3 = rig(&[Hangs, Hangs, Echoes(0)]);
    let (answer, after) = rig_3.call(3, request()).await;
    assert_eq!(answer, rig_3.echo(2));
    assert!((100..300).contains(&after), "{after}");
    assert_eq!(rig_3.asked(), rig_3.order);
    assert_eq!(rig_3.events.lock().iter().filter(|e| e.starts_with("Lost")).count(), 2);

    let rig_2 = rig(&[Hangs, Hangs, Echoes(0)]);
    assert!(timeout(Duration::from_secs(60), rig_2.call(2, request())).await.is_err());
    assert_eq!(rig_2.asked(), rig_2.order[..2]);
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_when_another_is_late_makes_the_third_ones_turn_at_once() {
    let rig = rig(&[Hangs, HandsBack(10), Echoes(0)]);
    let (answer, after) = rig.call(3, request()).await;
    assert_eq!(answer, rig.echo(2));
    assert!((60..160).contains(&after), "{after}");
    assert_eq!(rig.asked(), rig.order);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_fails_after_all_the_others_answer_counts() {
    for first in [Fails(80), HandsBack(80)] {
        let rig = rig(&[first, Echoes(500)]);
        assert_eq!(rig.call(2, request()).await.0, rig.echo(1), "{first:?}");
        assert_eq!(rig.asked(), rig.order);
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_it_fails_with_an_error_of_theirs() {
    let rig = rig(&[Fails(200), HandsBack(200)]);
    let (answer, _) = rig.call(2, request()).await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!((rig.asked(), rig.open.load(Relaxed)), (rig.order.clone(), 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_midway_it_leaves_nothing_behind() {
    let rig = rig(&[Hangs, Hangs]);
    assert!(timeout(Duration::from_millis(300), rig.call(2, request())).await.is_err());
    assert_eq!((rig.asked().len(), rig.open.load(Relaxed)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_answers_usually_take_decides_when_one_is_late() {
    let rig = rig(&[Echoes(100), Echoes(0)]);
    let late = LatenessConfig::new(LATE, Duration::from_secs(9)).unwrap();
    let layer = HedgeLayer::new(rig.ticker.clone(), rig.budget.clone(), late);
    let stack = layer.layer(Select::new(rig.pool.clone()));
    for _ in 0..500 {
        stack.clone().oneshot(request()).await.unwrap();
    }
    assert_eq!(rig.asked().len(), 500, "a hundred milliseconds are usual here");
    assert!(layer.shared.after() < Duration::from_millis(500), "{:?}", layer.shared.after());
}

/// The stack with a lateness that is learnt, up to nine seconds.
fn learning(rig: &Rig) -> (HedgeLayer, impl AsyncFn(&str) -> u128) {
    let late = LatenessConfig::new(LATE, Duration::from_secs(9)).unwrap();
    // A budget that pays for all of it.
    let budget = SharedBudget::new(BudgetConfig::new(100, 1_000).unwrap());
    let layer = HedgeLayer::new(rig.ticker.clone(), budget, late);
    let stack = layer.layer(Select::new(rig.pool.clone()));
    let ask = async move |key: &str| {
        let (mut request, began) = (request(), Instant::now());
        request.extensions_mut().insert(RoutingKey::from(key));
        stack.clone().oneshot(request).await.unwrap();
        began.elapsed().as_millis()
    };
    (layer, ask)
}

/// The time after which hedging asked another one counted as time that answers take: three times of that was the next
/// one, up to the longest.
#[tokio::test(start_paused = true)]
async fn its_own_waits_do_not_make_it_wait_longer() {
    let rig = rig(&[Hangs, Echoes(5)]);
    let (layer, ask) = learning(&rig);
    // As a gateway begins that knows nothing, beside a node that hangs; keys of either.
    for i in 0..1_500 {
        ask(&i.to_string()).await;
    }
    // Three ticks and a bit at most: an answer may see one pass.
    assert!(layer.shared.after() < TICK * 4, "{:?}", layer.shared.after());
    assert!(ask("k").await < 200);
}

#[tokio::test(start_paused = true)]
async fn where_all_have_become_slow_it_learns_to_wait() {
    let rig = rig(&[Echoes(400), Echoes(400)]);
    let (layer, ask) = learning(&rig);
    (0..1_000).for_each(|_| layer.shared.lateness.lock().record(Duration::from_millis(1)));
    assert_eq!(layer.shared.after(), LATE);
    for i in 0..300 {
        ask(&i.to_string()).await;
    }
    assert!(layer.shared.after() > Duration::from_millis(400), "{:?}", layer.shared.after());
}

#[test]
fn a_copy_is_an_ordinary_request() {
    let ((), offered) = super::offer::collect(|| {
        offer(|| Some(Request::get("/a").body(Bytes::new()).unwrap()));
    });
    assert_eq!(offered.request.unwrap().uri(), "/a");
}
