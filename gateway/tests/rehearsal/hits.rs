//! How often caches are enough while a node joins and leaves again.

use std::{thread::sleep, time::Duration};

use crate::{
    clients::{Clients, question},
    rig::{Process, until},
    stage::{Stage, number, until_ready, until_ring},
    table::{self, now},
};

/// Companies that are asked about, one in each request.
const STOCKS: usize = 1_200;

#[test]
#[ignore = "takes a minute"]
fn hits_while_a_node_joins_and_leaves() {
    for (name, more) in
        [("with hand-over", &[][..]), ("without", &[("KAMAITACHI__PEERS__HAND_OVER_TIME", "0s")])]
    {
        println!("\n{name}");
        rehearse(more);
    }
}

const IDS: &str = "operating_income,net_profit";

fn rehearse(more: &[(&str, &str)]) {
    let stage = Stage::new(u32::try_from(STOCKS).unwrap(), more);
    let two: Vec<_> = (1..=2).map(|number| stage.slave(number, 0)).collect();
    two.iter().for_each(until_ready);
    let gateway = stage.gateway();
    until_ring(&gateway, 2);
    // One half is asked about first, the other from the time on that there are three nodes: who leaves then is the only one
    // that knows its part of it.
    let bodies: Vec<_> = subjects(&stage).iter().map(|subject| question(subject, IDS)).collect();
    let lists = bodies.chunks(bodies.len() / 2).map(<[_]>::to_vec).collect();
    let rate = number("KAMAITACHI_RATE", 300);
    let load = Clients::start(vec![gateway.addr], lists, rate);
    // Everything is asked for once, and some more.
    let warm = Duration::from_secs(bodies.len() as u64 / 2 / rate + 2);
    sleep(warm);
    let begun = now();
    sleep(Duration::from_secs(2));

    let starts = now();
    let mut third = stage.slave(3, 0);
    until_ring(&gateway, 3);
    let joined = now();
    sleep(Duration::from_secs(SECONDS));
    println!("{} subjects taken over by the third when it joined", taken(&third));
    let other = now();
    load.turn_over();
    sleep(warm);
    let before: f64 = two.iter().map(taken).sum();
    let leaves = now();
    third.signal("TERM");
    until_ring(&gateway, 2);
    let left = now();
    sleep(Duration::from_secs(SECONDS));
    until("it has ended", || third.is_gone());
    let after: f64 = two.iter().map(taken).sum();
    println!("{} subjects taken over from it when it left", after - before);
    let answers = load.end();

    let mut stretches = vec![("two nodes", begun, starts), ("the third starts", starts, joined)];
    stretches.extend(seconds("three nodes", joined));
    stretches.push(("three nodes are asked about others", other, leaves));
    stretches.push(("the third leaves", leaves, left));
    stretches.extend(seconds("two nodes", left));
    table::print(&answers, &stretches);
    assert_eq!(table::failed(&answers), 0, "{:?}", table::why(&answers));
}

/// How long is looked at what a change does.
const SECONDS: u64 = 5;

fn seconds(name: &str, from: u64) -> impl Iterator<Item = (&str, u64, u64)> {
    (0..SECONDS).map(move |s| (name, from + s * 1_000, from + (s + 1) * 1_000))
}

/// Subjects that this node has taken over, whoever gave them.
fn taken(node: &Process) -> f64 {
    node.metric("kamaitachi_hand_over_subjects_total{outcome=\"taken\"}")
}

/// All subjects of the generated data.
fn subjects(stage: &Stage) -> Vec<String> {
    let ask = r#"{"topic": "stock_a_listing_pool", "ids": "operating_income", "limit": 10000}"#;
    let found = stage.master.post("/kamaitachi/api/data/v1/snapshot", ask).data();
    let subject = |row: &serde_json::Value| row["subject"]["subject"].as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(subject).collect()
}
