//! A master, two slaves, a writer and a reader.
//!
//! What must hold: a write that was acknowledged is never lost; a read is exactly what was true at the revision it is
//! answered with, which is not before the one that was asked for; when faults end, all hold the same.

mod account;
mod clients;
mod hosts;
mod still;

use std::{path::Path, time::Duration};

use self::{
    account::{Account, Found, SUBJECTS},
    still::now,
};
use crate::rig::{
    chaos::{Chaos, network},
    seeds,
};

const SLAVES: [&str; 2] = ["slave-1", "slave-2"];
const MORTAL: &[&str] = &["master", "slave-1", "slave-2", "writer", "reader"];
/// With faults, and then without.
const RAGE: Duration = Duration::from_secs(10);
const CALM: Duration = Duration::from_secs(6);

#[test]
fn nothing_acknowledged_is_lost_and_no_read_is_older_than_it_asked_for() {
    let name = "nothing_acknowledged_is_lost_and_no_read_is_older_than_it_asked_for";
    let found = seeds::each(name, 80, |seed| run(seed).0);
    let sum = |of: fn(&Found) -> u64| found.iter().map(of).sum::<u64>();
    let (writes, reads) = (sum(|found| found.acknowledged), sum(|found| found.reads));
    let (behind, copies) = (sum(|found| found.behind), sum(|found| found.copies));
    println!(
        "{} seeds: {writes} writes, {reads} reads, {behind} behind, {copies} copies",
        found.len()
    );
    let many = found.len() as u64;
    assert!(!seeds::all_run() || (writes > 20 * many && reads > 20 * many));
    assert!(!seeds::all_run() || (behind > many / 4 && copies > many));
}

#[test]
fn a_seed_replays() {
    for seed in 3..6 {
        let (once, again) = (run(seed).1, run(seed).1);
        let differs = once.iter().zip(&again).position(|(one, two)| one != two);
        let at = differs.map(|at| (&once[at.saturating_sub(3)..=at], &again[at]));
        assert!(once == again, "seed {seed}: {at:?}");
    }
}

fn run(seed: u64) -> (Found, Vec<String>) {
    let account = Account::default();
    let dir = tempfile::tempdir().unwrap();
    let mut sim = network(seed);
    let path = |name: &str| dir.path().join(format!("{name}.db"));
    {
        let (path, account) = (path("master"), account.clone());
        sim.host("master", move || hosts::master(path.clone(), account.clone()));
    }
    for slave in SLAVES {
        let (path, account) = (path(slave), account.clone());
        sim.host(slave, move || hosts::slave(slave, path.clone(), account.clone(), seed));
    }
    for (name, client) in [("writer", true), ("reader", false)] {
        let account = account.clone();
        sim.host(name, move || {
            // Another way each time, the same in each run.
            let (account, seed) = (account.clone(), seed + account.last_acknowledged());
            async move {
                if client {
                    clients::writer(account, seed).await
                } else {
                    clients::reader(account, seed).await
                }
            }
        });
    }
    let links = vec![
        ("master", "slave-1"),
        ("master", "slave-2"),
        ("master", "writer"),
        ("reader", "slave-1"),
        ("reader", "slave-2"),
    ];
    let every = Duration::from_millis(500);
    let mut chaos = Chaos::new(seed, account.trace(), MORTAL, links, every);
    chaos.rage(&mut sim, RAGE, &mut |_, _| {});
    chaos.heal(&mut sim, &[]);
    Chaos::calm(&mut sim, CALM / 2);
    // What is still on its way has time to arrive.
    sim.crash("writer");
    Chaos::calm(&mut sim, CALM / 2);
    drop(sim);
    (judge(&account, dir.path()), account.trace().take())
}

/// All files hold just what was written.
fn judge(account: &Account, dir: &Path) -> Found {
    let found = account.settle();
    let stores = ["master", "slave-1", "slave-2"]
        .map(|name| (name, hosts::open(&dir.join(format!("{name}.db")), name != "master")));
    let mark = stores[0].1.mark();
    assert!(mark.revision >= account.last_acknowledged(), "the master forgot: {mark:?}");
    for (name, store) in &stores {
        assert_eq!(store.mark(), mark, "{name} is elsewhere");
        assert_eq!(store.totals(), stores[0].1.totals(), "{name} counts differently");
        for subject in 0..SUBJECTS {
            let right = (mark.revision, account.value_at(mark.revision, subject));
            assert_eq!(now(hosts::value(store, subject)), Some(right), "{name} on {subject}");
        }
    }
    found
}
