use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::allow::host_addresses;

const HOLD: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(5);

fn resolve(host: &str) -> Vec<IpAddr> {
    host_addresses(host).unwrap_or_default()
}

/// Nobody vouches for anybody.
fn nobody(_: &NodeAddr) -> bool {
    false
}

fn addr(text: &str) -> NodeAddr {
    text.parse().unwrap()
}

/// A view that holds losses for [`HOLD`], or believes everything.
fn view(start: &[&str], guarded: bool) -> View {
    let hold = if guarded { HOLD } else { Duration::ZERO };
    let guard = Guard { max_drop_percent: 50, hold, window: WINDOW };
    View::new(Allow::default(), 100, guard, start.iter().map(|text| addr(text)))
}

fn mark(revision: i64) -> Mark {
    Mark { cluster: 1, term: 2, revision }
}

fn list(view: &mut View, now: Instant, mark: Mark, keys: &[&str]) -> Vec<Refused> {
    let entry = |key: &&str| (key.to_string(), key.to_string());
    let pairs: Vec<_> = keys.iter().map(entry).collect();
    let entries = pairs.iter().map(|(k, v)| Entry { key: k.as_bytes(), value: v.as_bytes() });
    view.list(now, mark, entries, &resolve)
}

fn delete(view: &mut View, now: Instant, changes: &[(&str, i64)]) {
    let changes: Vec<_> = changes
        .iter()
        .map(|(key, revision)| Change::Delete {
            key: key.as_bytes(),
            leased: true,
            revision: *revision,
        })
        .collect();
    assert!(view.changes(now, &changes, &resolve, &nobody).is_empty());
}

fn put(view: &mut View, now: Instant, key: &str, value: &str, revision: i64) -> Vec<Refused> {
    let entry = Entry { key: key.as_bytes(), value: value.as_bytes() };
    view.changes(now, &[Change::Put { entry, revision }], &resolve, &nobody)
}

fn members(view: &View) -> Vec<String> {
    view.members().iter().map(ToString::to_string).collect()
}

const A: &str = "10.0.0.1:80";
const B: &str = "10.0.0.2:80";
const C: &str = "10.0.0.3:80";

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn a_node_that_leaves_by_itself_is_gone_at_once_even_if_it_is_the_last() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B]);
    delete(&mut view, now, &[(A, 6)]);
    assert_eq!(members(&view), [B]);
    delete(&mut view, now, &[(B, 7)]);
    assert_eq!((members(&view).len(), view.holds()), (0, 0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn an_empty_list_is_believed_only_when_it_was_confirmed() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B, C]);
    list(&mut view, now, mark(6), &[]);
    assert_eq!((members(&view), view.held()), (vec![A.into(), B.into(), C.into()], 3));
    assert_eq!(view.confirm_at(), Some(now + HOLD));
    // One is back, the others are still away.
    put(&mut view, now, B, B, 7);
    list(&mut view, now + HOLD / 2, mark(7), &[B]);
    assert_eq!((members(&view).len(), view.held(), view.holds()), (3, 2, 1));
    list(&mut view, now + HOLD, mark(7), &[B]);
    assert_eq!((members(&view), view.confirm_at()), (vec![B.to_owned()], None));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn half_of_the_members_may_be_lost_at_once_and_more_may_not() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B]);
    list(&mut view, now, mark(6), &[B]);
    assert_eq!(members(&view), [B], "one of two is no suspicion");
    list(&mut view, now, mark(7), &[A, B, C]);
    list(&mut view, now, mark(8), &[C]);
    assert_eq!(members(&view).len(), 3, "two of three are");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn newcomers_do_not_make_up_for_those_that_are_missing() {
    let (now, mut view) = (Instant::now(), view(&[A, B], true));
    list(&mut view, now, mark(5), &[B, C]);
    list(&mut view, now, mark(6), &[A, C]);
    assert_eq!(members(&view), [A, C], "one of two is no suspicion");
    list(&mut view, now, mark(7), &["10.0.0.4:80", "10.0.0.5:80"]);
    assert_eq!((members(&view).len(), view.held()), (4, 2));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn what_nobody_confirmed_is_replaced_by_as_many_others_at_once() {
    let (now, mut view) = (Instant::now(), view(&[A, B], true));
    list(&mut view, now, mark(5), &[C]);
    assert_eq!((members(&view), view.held()), (vec![C.to_owned()], 0));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn another_store_takes_nobody_away_at_once() {
    let now = Instant::now();
    for other in [mark(3), Mark { cluster: 9, ..mark(9) }, Mark { term: 1, ..mark(9) }] {
        let mut view = view(&[], true);
        list(&mut view, now, mark(5), &[A, B, C]);
        list(&mut view, now, other, &[A, B]);
        assert_eq!(members(&view), [A, B, C], "{other:?}");
        // What is told later is believed, though the revision is lower than before.
        delete(&mut view, now, &[(A, other.revision + 1)]);
        assert_eq!(members(&view), [B, C], "{other:?}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn a_script_that_deletes_the_whole_prefix_empties_nothing() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B]);
    delete(&mut view, now, &[(A, 6), (B, 6)]);
    assert_eq!((members(&view).len(), view.held()), (2, 2));
    put(&mut view, now, A, A, 7);
    put(&mut view, now, B, B, 8);
    assert_eq!((members(&view).len(), view.held()), (2, 0));
    // The ends of two leases that are told together are still two ends.
    delete(&mut view, now, &[(A, 9), (B, 10)]);
    assert_eq!(members(&view).len(), 0);
}

/// Ends registrations of nodes that somebody vouches for, told together.
fn lapse(view: &mut View, now: Instant, leased: bool, keys: &[(&str, i64)]) {
    let changes: Vec<_> = keys
        .iter()
        .map(|(key, revision)| Change::Delete { key: key.as_bytes(), leased, revision: *revision })
        .collect();
    view.changes(now, &changes, &resolve, &|_| true);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn leases_that_end_one_after_the_other_leave_the_half_that_somebody_vouches_for() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B, C]);
    lapse(&mut view, now, true, &[(A, 6)]);
    assert_eq!(members(&view), [B, C], "one of three is no suspicion");
    lapse(&mut view, now + WINDOW / 2, true, &[(B, 7)]);
    lapse(&mut view, now + WINDOW / 2, true, &[(C, 8)]);
    assert_eq!((members(&view), view.held()), (vec![B.to_owned(), C.to_owned()], 2));
    // One goes, one is back.
    assert!(view.holds_on_word());
    view.release(now + WINDOW / 2, &|node| node.as_str() != B);
    assert_eq!(members(&view), [C]);
    put(&mut view, now + WINDOW, C, C, 9);
    assert_eq!((members(&view), view.held(), view.holds_on_word()), (vec![C.to_owned()], 0, false));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn a_word_outlasts_lists_and_counts_neither_for_the_last_alone_nor_against_a_deletion() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B]);
    lapse(&mut view, now, true, &[(A, 6), (B, 7)]);
    assert_eq!((members(&view).len(), view.held(), view.holds()), (2, 2, 1), "told together");
    list(&mut view, now + HOLD * 2, mark(7), &[]);
    assert_eq!((members(&view).len(), view.confirm_at()), (2, None));
    view.release(now + HOLD * 2, &nobody);
    assert_eq!(members(&view).len(), 0);

    let now = now + HOLD * 3;
    list(&mut view, now, mark(8), &[A, B]);
    lapse(&mut view, now, true, &[(A, 9)]);
    lapse(&mut view, now + WINDOW, true, &[(B, 10)]);
    assert_eq!(members(&view).len(), 0, "what went before is no part of the loss");

    list(&mut view, now, mark(11), &[A, B]);
    lapse(&mut view, now, false, &[(A, 12), (B, 13)]);
    assert_eq!(members(&view).len(), 0, "somebody deleted what had no lease");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn what_was_known_at_the_start_is_a_member_until_the_store_says_otherwise() {
    let (now, mut view) = (Instant::now(), view(&[A, B], true));
    assert_eq!(members(&view), [A, B]);
    list(&mut view, now, mark(5), &[]);
    assert_eq!(members(&view), [A, B]);
    list(&mut view, now, mark(6), &[B, C]);
    assert_eq!(members(&view), [A, B, C]);
    list(&mut view, now + HOLD, mark(6), &[B, C]);
    assert_eq!(members(&view), [B, C]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn bad_registrations_are_refused_told_once_and_counted() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A]);
    for (key, value) in [
        ("garbage", "garbage"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("8.8.8.8:53", "8.8.8.8:53"),
        ("10.0.0.9:80", "10.0.0.8:80"),
        (" 10.0.0.9:80", " 10.0.0.9:80"),
        ("10.0.0.9:80/x", "10.0.0.9:80/x"),
    ] {
        let revision = view.revision() + 1;
        assert_eq!(put(&mut view, now, key, value, revision).len(), 1, "{key}");
        assert_eq!(put(&mut view, now, key, value, revision + 1).len(), 0, "{key} again");
        assert_eq!(members(&view), [A], "{key}");
    }
    assert_eq!(view.refused(), 6);
    let long = "x".repeat(1 << 20);
    let revision = view.revision() + 1;
    let told = put(&mut view, now, &long, &long, revision);
    assert!(told[0].key.len() < 100, "a long key is told whole");
    let news = list(&mut view, now, mark(99), &[A, "garbage", "\x1b[31m"]);
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].key, "\\x1b[31m");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
fn too_many_registrations_push_nobody_out() {
    let (now, mut view) = (Instant::now(), view(&[], true));
    list(&mut view, now, mark(5), &[A, B, C]);
    let flood: Vec<_> = (1..=300).map(|port| format!("10.0.0.0:{port}")).collect();
    let mut keys: Vec<_> = flood.iter().map(String::as_str).collect();
    keys.extend([A, B, C]);
    list(&mut view, now, mark(400), &keys);
    assert_eq!(members(&view).len(), 100);
    assert!([A, B, C].iter().all(|known| view.members().contains(&addr(known))));
    assert_eq!(put(&mut view, now, "10.0.0.4:80", "10.0.0.4:80", 401).len(), 1);
}

/// What may happen in a store, and to who looks at it.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, bool),
    Delete(u8),
    Told,
    List,
    Replaced,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u8..12;
    prop::collection::vec(
        prop_oneof![
            4 => (key.clone(), prop::bool::weighted(0.8)).prop_map(|(k, good)| Step::Put(k, good)),
            3 => key.prop_map(Step::Delete),
            3 => Just(Step::Told),
            1 => Just(Step::List),
            1 => Just(Step::Replaced),
        ],
        1..120,
    )
}

/// A store, and the changes that were not told yet.
#[derive(Default)]
struct Store {
    keys: BTreeMap<String, String>,
    revision: i64,
    cluster: u64,
    untold: Vec<(String, Option<String>, i64)>,
}

impl Store {
    fn step(&mut self, step: &Step, view: &mut View, now: Instant) {
        match step {
            Step::Put(key, good) => {
                let key = format!("10.0.0.{key}:80");
                let value = if *good { key.clone() } else { "garbage".to_owned() };
                self.change(key, Some(value));
            }
            Step::Delete(key) => {
                let key = format!("10.0.0.{key}:80");
                if self.keys.contains_key(&key) {
                    self.change(key, None);
                }
            }
            Step::Told => self.tell(view, now),
            Step::List => self.list(view, now),
            Step::Replaced => {
                *self = Self { cluster: self.cluster + 1, ..Self::default() };
                self.list(view, now);
            }
        }
    }

    fn change(&mut self, key: String, value: Option<String>) {
        self.revision += 1;
        match &value {
            Some(value) => drop(self.keys.insert(key.clone(), value.clone())),
            None => drop(self.keys.remove(&key)),
        }
        self.untold.push((key, value, self.revision));
    }

    fn tell(&mut self, view: &mut View, now: Instant) {
        // Somebody vouches for every other node.
        let vouched = |addr: &NodeAddr| addr.as_str().len().is_multiple_of(2);
        let changes: Vec<_> = self
            .untold
            .iter()
            .map(|(key, value, revision)| match value {
                Some(value) => {
                    let entry = Entry { key: key.as_bytes(), value: value.as_bytes() };
                    Change::Put { entry, revision: *revision }
                }
                None => Change::Delete { key: key.as_bytes(), leased: true, revision: *revision },
            })
            .collect();
        view.changes(now, &changes, &resolve, &vouched);
        // Sometimes a change is told that a list has shown already, and the other way round.
        if self.untold.len().is_multiple_of(2) {
            self.untold.clear();
        }
    }

    fn list(&self, view: &mut View, now: Instant) {
        let mark = Mark { cluster: self.cluster, term: 2, revision: self.revision };
        let entries = self.keys.iter();
        let entries = entries.map(|(k, v)| Entry { key: k.as_bytes(), value: v.as_bytes() });
        view.list(now, mark, entries, &resolve);
    }

    fn registered(&self) -> Vec<String> {
        self.keys.iter().filter(|(key, value)| key == value).map(|(key, _)| key.clone()).collect()
    }
}

proptest! {
    /// However lists and changes came, in the end the members are those that the store holds.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
    fn membership_converges_to_what_the_store_holds(steps in steps(), guarded in any::<bool>()) {
        let (start, mut view, mut store) = (Instant::now(), view(&[A], guarded), Store::default());
        store.list(&mut view, start);
        for (second, step) in (0_u64..).zip(&steps) {
            store.step(step, &mut view, start + Duration::from_secs(second));
        }
        let end = start + Duration::from_secs(1_000);
        store.tell(&mut view, end);
        // Once to begin what must be confirmed, once to confirm it.
        store.list(&mut view, end);
        store.list(&mut view, end + HOLD);
        view.release(end + HOLD, &nobody);
        prop_assert_eq!(members(&view), store.registered());
        prop_assert_eq!(view.held(), 0);
    }

    /// No single list takes away more than the guard allows, unless it was confirmed.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
    fn no_list_takes_more_than_its_share(steps in steps()) {
        let (now, mut view, mut store) = (Instant::now(), view(&[], true), Store::default());
        for step in &steps {
            let before = members(&view).len();
            store.step(step, &mut view, now);
            if matches!(step, Step::List | Step::Replaced) {
                prop_assert!(members(&view).len() * 2 >= before, "{before} → {:?}", members(&view));
            }
        }
    }

    /// Whatever is registered, only allowed addresses become members, and the text is kept.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
    fn nothing_but_allowed_addresses_becomes_a_member(key in ".{0,40}", value in ".{0,40}") {
        let (now, mut view) = (Instant::now(), view(&[], false));
        list(&mut view, now, mark(1), &[]);
        put(&mut view, now, &key, &value, 2);
        for member in view.members() {
            prop_assert_eq!(member.as_str(), &key);
            prop_assert_eq!(&key, &value);
            prop_assert!(Allow::default().check(&member, &resolve(member.host())).is_ok());
        }
    }
}
