use std::{collections::HashMap, error::Error as _, future::pending, time::Duration};

use http::{HeaderName, Request, Response};
use kamaitachi_policies::{
    ramp::Share,
    ring::{DEFAULT_REPLICAS, LoadBound, Ring, Spread},
};
use proptest::prelude::*;
use tokio_test::{assert_pending, block_on, task};
use tower::{BoxError, Service, ServiceExt as _, service_fn, util::BoxCloneService};

use super::*;
use crate::{key::RoutingKey, rejection::Rejection};

const X_NODE: HeaderName = HeaderName::from_static("x-node");
const NAMES: [&str; 3] = ["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"];

type Endpoint = BoxCloneService<Request<&'static str>, Response<()>, BoxError>;

/// Does what the request's body says.
fn endpoint() -> Endpoint {
    BoxCloneService::new(service_fn(|request: Request<&'static str>| async move {
        match *request.body() {
            "hang" => pending().await,
            "fail" => Err("inner".into()),
            _ => Ok(Response::new(())),
        }
    }))
}

fn members(names: &[&str]) -> Vec<Member<Endpoint>> {
    names.iter().map(|name| Member::new(name, endpoint()).unwrap()).collect()
}

fn pool(names: &[&str]) -> Pool<Endpoint> {
    let pool = Pool::default();
    pool.set(members(names));
    pool
}

fn keyed(key: &str, does: &'static str) -> Request<&'static str> {
    let mut request = Request::new(does);
    request.extensions_mut().insert(RoutingKey::from(key));
    request
}

fn who(pool: &Pool<Endpoint>, key: &str) -> String {
    let select = Select::new(pool.clone()).naming(X_NODE);
    let response = block_on(select.oneshot(keyed(key, ""))).unwrap();
    response.headers()[X_NODE].to_str().unwrap().to_owned()
}

#[test]
fn a_key_goes_to_its_owner() {
    let pool = pool(&NAMES);
    for (key, node) in [("33:00000009", NAMES[1]), ("33:000001", NAMES[2]), ("33:100000", NAMES[0])]
    {
        assert_eq!(who(&pool, key), node);
    }
}

#[test]
fn an_unhealthy_owner_is_passed_over_and_all_unhealthy_ones_are_not() {
    let pool = pool(&NAMES);
    let ring = Ring::new(NAMES, DEFAULT_REPLICAS, Spread::Plain);
    let order: Vec<_> = ring.successors(b"k").map(|node| ring.name(node).unwrap()).collect();
    for down in 0..=order.len() {
        for member in &*pool.members() {
            member.health().set(!order[..down].contains(&&**member.name()));
        }
        assert_eq!(who(&pool, "k"), *order.get(down).unwrap_or(&order[0]));
    }
}

#[test]
fn an_empty_pool_says_so_and_takes_members_at_any_time() {
    let pool = Pool::default();
    let select = Select::new(pool.clone());
    let refused = block_on(select.clone().oneshot(keyed("k", ""))).unwrap_err();
    assert!(matches!(Rejection::find(&*refused), Some(Rejection::NoUpstream)));
    pool.set(members(&NAMES));
    block_on(select.oneshot(keyed("k", ""))).unwrap();
}

#[test]
fn requests_without_a_key_go_to_one_member() {
    let select = Select::new(pool(&NAMES)).naming(X_NODE);
    let response = block_on(select.oneshot(Request::new(""))).unwrap();
    assert_eq!(response.headers()[X_NODE], who(&pool(&NAMES), ""));
}

#[test]
fn an_error_names_the_member_and_keeps_its_source() {
    let error = block_on(Select::new(pool(&NAMES[..2])).oneshot(keyed("k", "fail"))).unwrap_err();
    let failed = error.downcast_ref::<Failed>().unwrap();
    assert!(NAMES[..2].contains(&&**failed.member()));
    assert_eq!(failed.to_string(), format!("{} failed", failed.member()));
    assert_eq!(failed.source().unwrap().to_string(), "inner");
    assert!(!failed.was_last());
    let error = block_on(Select::new(pool(&NAMES[..1])).oneshot(keyed("k", "fail"))).unwrap_err();
    assert!(error.downcast_ref::<Failed>().unwrap().was_last());
}

#[test]
fn under_a_bound_a_busy_owner_shares_and_every_place_comes_back() {
    let pool = pool(&NAMES);
    let mut select = Select::new(pool.clone()).bounded(LoadBound::percent(100).unwrap());
    let loads = |pool: &Pool<Endpoint>| -> Vec<u32> {
        pool.members().iter().map(Member::in_flight).collect()
    };
    let mut hung: Vec<_> =
        (0..30).map(|_| task::spawn(select.call(keyed("hot", "hang")))).collect();
    for call in &mut hung {
        assert_pending!(call.poll());
    }
    assert_eq!(loads(&pool), [10, 10, 10]);
    drop(hung);
    assert_eq!(loads(&pool), [0, 0, 0]);
    block_on(select.call(keyed("hot", "fail"))).unwrap_err();
    block_on(select.call(keyed("hot", ""))).unwrap();
    assert_eq!(loads(&pool), [0, 0, 0]);
}

#[test]
fn a_member_that_drains_gets_nothing_and_a_repeated_name_counts_once() {
    let pool = Pool::new(DEFAULT_REPLICAS, Spread::Mixed);
    let [a, b] = [NAMES[0], NAMES[1]].map(|name| Member::new(name, endpoint()).unwrap());
    let again = Member::new(NAMES[0], endpoint()).unwrap().with_weight(0);
    pool.set([a, b.with_weight(0), again]);
    assert_eq!(pool.members().len(), 2);
    for key in 0..50 {
        assert_eq!(who(&pool, &key.to_string()), NAMES[0]);
    }
}

#[test]
fn names_that_fit_no_header_are_refused() {
    for bad in ["", "a b", "a\n", "é"] {
        assert!(Member::new(bad, ()).is_err());
    }
}

/// A pool in which some members are new, with this share.
fn ramping(new: &[&str], share: Share) -> Pool<Endpoint> {
    let pool = Pool::default();
    pool.set(members(&NAMES).into_iter().map(|member| {
        let is_new = new.contains(&&**member.name());
        if is_new { member.with_ramp(Ramp::new(share)) } else { member }
    }));
    pool
}

#[test]
fn a_new_member_whose_keys_nobody_else_can_take_is_asked() {
    let pool = pool(&NAMES[..1]);
    pool.set(members(&NAMES[..1]).into_iter().map(|m| m.with_ramp(Ramp::new(Share::FIRST))));
    for key in 0..50 {
        assert_eq!(who(&pool, &key.to_string()), NAMES[0]);
    }
    let pool = ramping(&NAMES[..1], Share::FIRST);
    for member in pool.members().iter().filter(|member| **member.name() != *NAMES[0]) {
        member.health().set(false);
    }
    for key in 0..50 {
        assert_eq!(who(&pool, &key.to_string()), NAMES[0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_new_member_gets_its_keys_bit_by_bit_and_no_others_move(
        new in 0_usize..3,
        seconds in 0_u64..=100,
        keys in prop::collection::hash_set("[a-z]{1,8}", 1..60),
    ) {
        let new = NAMES[new];
        let share = Share::after(Duration::from_secs(seconds), Duration::from_secs(100));
        let later = Share::after(Duration::from_secs(seconds + 10), Duration::from_secs(100));
        let (before, plain) = (Pool::default(), pool(&NAMES));
        before.set(members(&NAMES).into_iter().filter(|member| **member.name() != *new));
        let (now, then) = (ramping(&[new], share), ramping(&[new], later));
        let (full, two) = (ramping(&NAMES, Share::FULL), ramping(&NAMES[..2], share));
        for key in &keys {
            let given = share.takes(key.as_bytes());
            let expected = who(if given { &plain } else { &before }, key);
            prop_assert_eq!(&who(&now, key), &expected, "the former owner has what is not given");
            prop_assert_eq!(now.members().position(key.as_bytes()), NAMES.iter().position(|name| *name == expected));
            if who(&now, key) == new {
                prop_assert_eq!(who(&then, key), new, "what was given stays");
            }
            prop_assert_eq!(who(&full, key), who(&plain, key));
            let owner = who(&two, key);
            prop_assert!(given && owner == who(&plain, key) || !given && owner == NAMES[2]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn only_keys_of_the_member_that_left_move(leaver in 0_usize..3, keys in prop::collection::hash_set("[a-z]{1,8}", 1..60)) {
        let pool = pool(&NAMES);
        let before: HashMap<_, _> = keys.iter().map(|key| (key, who(&pool, key))).collect();
        let rest: Vec<_> = NAMES.into_iter().filter(|name| *name != NAMES[leaver]).collect();
        pool.set(members(&rest));
        for (key, node) in before {
            if node != NAMES[leaver] {
                prop_assert_eq!(who(&pool, key), node);
            }
        }
    }
}
