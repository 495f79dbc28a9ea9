use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn owner<'a>(ring: &'a Ring, key: &str) -> &'a str {
    ring.owner(key.as_bytes()).and_then(|node| ring.name(node)).unwrap()
}

fn plain(nodes: &[&str]) -> Ring {
    Ring::new(nodes.iter().copied(), DEFAULT_REPLICAS, Spread::Plain)
}

/// The placement written down as naively as it reads: all points in a sorted map, scanned.
fn naive_owner(nodes: &[String], replicas: u16, key: &str) -> Option<String> {
    let mut points = std::collections::BTreeMap::<u32, &String>::new();
    for node in nodes {
        for replica in 0..replicas {
            let point = crc32fast::hash(format!("{replica}{node}").as_bytes());
            points.entry(point).and_modify(|held| *held = (*held).min(node)).or_insert(node);
        }
    }
    let hash = crc32fast::hash(key.as_bytes());
    let next = points.range(hash..).next().or_else(|| points.iter().next());
    next.map(|(_, node)| (*node).clone())
}

#[test]
fn places_the_documented_keys_on_two_nodes() {
    let ring = plain(&["localhost:8081", "localhost:8082"]);
    for (key, expected) in [
        ("33:00000009", "localhost:8081"),
        ("33:00000010", "localhost:8081"),
        ("33:000001", "localhost:8082"),
        ("17:600606", "localhost:8081"),
        ("33:300033", "localhost:8082"),
        ("127.0.0.1", "localhost:8082"),
    ] {
        assert_eq!(owner(&ring, key), expected, "{key}");
    }
}

#[test]
fn places_the_documented_keys_on_three_nodes() {
    let ring = plain(&["127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"]);
    for (key, expected) in [
        ("33:00000009", "127.0.0.1:8082"),
        ("33:000001", "127.0.0.1:8083"),
        ("33:100000", "127.0.0.1:8081"),
    ] {
        assert_eq!(owner(&ring, key), expected, "{key}");
    }
}

#[test]
fn a_key_on_a_point_belongs_to_that_point_and_one_past_the_last_wraps() {
    let ring = plain(&["a", "b", "c"]);
    for (&hash, &node) in ring.points.hashes().iter().zip(ring.points.owners()) {
        assert_eq!(ring.points.owner(ring.points.at_or_after(hash)), Some(node));
    }
    let last = *ring.points.hashes().last().unwrap();
    assert_eq!(ring.points.at_or_after(last.wrapping_add(1)), 0);
    assert_eq!(ring.points.at_or_after(u32::MAX), 0);
    assert_eq!(ring.points.at_or_after(0), 0);
}

/// CRC-32 is linear, so two names of one length with the same CRC collide in every point.
#[test]
fn colliding_points_belong_to_the_name_that_sorts_first() {
    assert_eq!(crc32fast::hash(b"plumless"), crc32fast::hash(b"buckeroo"));
    for nodes in [["plumless", "buckeroo"], ["buckeroo", "plumless"]] {
        let ring = plain(&nodes);
        assert_eq!(owner(&ring, "any"), "buckeroo");
        assert_eq!(ring.len(), 2);
        assert_eq!(ring.successors(b"any").count(), 1, "the other owns nothing");
    }
}

#[test]
fn an_empty_ring_owns_nothing_and_does_not_panic() {
    let ring = plain(&[]);
    assert!(ring.is_empty());
    assert_eq!(ring.owner(b"key"), None);
    assert_eq!(ring.successors(b"key").next(), None);
    assert_eq!(ring.owner_bounded(b"key", LoadBound::percent(125).unwrap(), |_| 0), None);
}

#[test]
fn more_nodes_than_are_remembered_inline_are_still_met_once_each() {
    let ring =
        Ring::new((0..600).map(|n| format!("10.0.0.1:{n}")), DEFAULT_REPLICAS, Spread::Plain);
    let met: BTreeSet<_> = ring.successors(b"33:000001").collect();
    assert_eq!(met.len(), 600);
    assert_eq!(ring.successors(b"33:000001").count(), 600);
}

/// The busiest node's load over its fair share, the worst of 40 sets of `nodes` addresses.
fn worst_share(nodes: u32, spread: Spread) -> f64 {
    let mut random = 1_u64;
    let mut address = || {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [a, b, c, d, ..] = random.to_be_bytes();
        format!("{a}.{b}.{c}.{d}:8081")
    };
    let mut busiest = 0.0_f64;
    for _ in 0..40 {
        let ring = Ring::new((0..nodes).map(|_| address()), DEFAULT_REPLICAS, spread);
        let shares = (0..nodes).map(|node| ring.share(NodeIndex(node)) * f64::from(nodes));
        busiest = shares.fold(busiest, f64::max);
    }
    busiest
}

#[test]
fn mixing_keeps_the_busiest_node_within_a_third_of_its_share() {
    for nodes in [2, 3, 5, 10, 20] {
        let (plain, mixed) = (worst_share(nodes, Spread::Plain), worst_share(nodes, Spread::Mixed));
        println!("{nodes} nodes: plain {plain:.2}, mixed {mixed:.2}");
        assert!(mixed < 4.0 / 3.0, "{nodes} nodes: {mixed}");
    }
}

#[test]
fn bounded_load_passes_a_full_owner_by_and_returns_when_there_is_room() {
    let ring = plain(&["a", "b", "c"]);
    let bound = LoadBound::percent(125).unwrap();
    let order: Vec<_> = ring.successors(b"hot").collect();
    assert_eq!(ring.owner_bounded(b"hot", bound, |_| 0), Some(order[0]));
    // Capacity is ⌈1.25 × (6 + 1) / 3⌉ = 3.
    let busy = |node| if node == order[0] { 3 } else { u32::from(node == order[1]) + 1 };
    assert_eq!(ring.owner_bounded(b"hot", bound, busy), Some(order[1]));
    let level = |node| if node == order[0] { 2 } else { 1 };
    assert_eq!(ring.owner_bounded(b"hot", bound, level), Some(order[0]));
}

#[test]
fn a_load_bound_below_the_fair_share_is_refused() {
    assert_eq!(LoadBound::percent(99), Err(InvalidLoadBound::BelowFairShare(99)));
}

#[test]
fn a_draining_node_keeps_its_name_and_loses_its_keys() {
    let weighted = [("a", FULL_WEIGHT), ("b", 0), ("c", FULL_WEIGHT)];
    let ring = Ring::weighted(weighted, DEFAULT_REPLICAS, Spread::Plain);
    let b = ring.index_of("b").unwrap();
    assert_eq!(ring.nodes().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!((0..1_000).all(|n| ring.successors(format!("{n}").as_bytes()).all(|node| node != b)));
    let idle = plain(&["a", "c"]);
    assert!((0..1_000).all(|n| owner(&ring, &format!("{n}")) == owner(&idle, &format!("{n}"))));
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c]{1,2}:[0-9]{1,2}", 0..12)
}

proptest! {
    #[test]
    fn agrees_with_the_naive_placement(nodes in names(), replicas in 1_u16..40, key in ".{0,12}") {
        let replicas_ = NonZeroU16::new(replicas).unwrap();
        let ring = Ring::new(nodes.clone(), replicas_, Spread::Plain);
        let owner = ring.owner(key.as_bytes()).and_then(|node| ring.name(node)).map(String::from);
        prop_assert_eq!(owner, naive_owner(&nodes, replicas, &key));
    }

    #[test]
    fn the_order_and_repetition_of_nodes_do_not_matter(
        nodes in names(),
        shuffled in names().prop_shuffle(),
        mixed: bool,
    ) {
        let spread = if mixed { Spread::Mixed } else { Spread::Plain };
        let there = nodes.iter().chain(&shuffled).cloned();
        let back = shuffled.iter().chain(&nodes).rev().chain(&nodes).cloned();
        prop_assert_eq!(
            Ring::new(there, DEFAULT_REPLICAS, spread),
            Ring::new(back, DEFAULT_REPLICAS, spread)
        );
    }

    #[test]
    fn keys_move_only_to_the_node_that_joins(
        nodes in names(),
        weight in 0_u8..=200,
        keys in prop::collection::vec(any::<[u8; 6]>(), 100),
    ) {
        let old = nodes.iter().map(|name| (name.as_str(), FULL_WEIGHT));
        let before = Ring::weighted(old.clone(), DEFAULT_REPLICAS, Spread::Plain);
        let joined = old.chain([("joined", weight)]);
        let after = Ring::weighted(joined, DEFAULT_REPLICAS, Spread::Plain);
        for key in &keys {
            let was = before.owner(key).and_then(|node| before.name(node));
            let is = after.owner(key).and_then(|node| after.name(node));
            prop_assert!(is == was || is == Some("joined"), "{:?} -> {:?}", was, is);
        }
    }

    #[test]
    fn successors_are_the_owners_that_remain_as_nodes_leave(nodes in names(), key in ".{0,8}") {
        let ring = Ring::new(nodes.clone(), DEFAULT_REPLICAS, Spread::Mixed);
        let mut left: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
        for node in ring.successors(key.as_bytes()) {
            let rest = Ring::new(left.iter().copied(), DEFAULT_REPLICAS, Spread::Mixed);
            let name = ring.name(node).unwrap();
            prop_assert_eq!(owner(&rest, &key), name);
            prop_assert!(left.remove(name));
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn bounded_load_never_picks_a_node_without_room(
        loads in prop::collection::vec(0_u32..1_000, 1..20),
        weights in prop::collection::vec(0_u8..=255, 20),
        percent in 100_u32..300,
        key: [u8; 4],
    ) {
        let nodes = loads.iter().zip(&weights).enumerate().map(|(n, (_, w))| (format!("{n:02}"), *w));
        let ring = Ring::weighted(nodes, DEFAULT_REPLICAS, Spread::Mixed);
        let bound = LoadBound::percent(percent).unwrap();
        let chosen = ring.owner_bounded(&key, bound, |node| loads[node.get()]);
        prop_assert_eq!(chosen.is_none(), weights.iter().take(loads.len()).all(|w| *w == 0));
        if let Some(node) = chosen {
            let replicas = |w: u8| f64::from((150 * u32::from(w)).div_ceil(100));
            let placed = || loads.iter().zip(&weights).filter(|(_, w)| **w > 0);
            let total: f64 = placed().map(|(load, _)| f64::from(*load)).sum::<f64>() + 1.0;
            let weight: f64 = placed().map(|(_, w)| replicas(*w)).sum();
            let fair = total * replicas(weights[node.get()]) / weight;
            prop_assert!(f64::from(loads[node.get()]) < (fair * f64::from(percent) / 100.0).ceil() + 1e-6);
        }
    }

    #[test]
    fn shares_add_up_to_the_whole_circle(nodes in names(), replicas in 1_u16..40) {
        prop_assume!(!nodes.is_empty());
        let ring = Ring::new(nodes, NonZeroU16::new(replicas).unwrap(), Spread::Plain);
        let sum: f64 = (0..).map(NodeIndex).take(ring.len()).map(|node| ring.share(node)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
    }
}
