//! Three peers of a cache group, each with the real group, queues and gRPC, over the simulated network; a client at each.
//!
//! What must hold: when faults end all peers answer alike, and with the last write that anyone still knows; what was
//! deleted or cleared does not come back; who writes sees it at once; nobody waits for ever, and no request passes more
//! than one peer.

#[expect(dead_code, reason = "a test of real processes shares it")]
pub(crate) mod account;
mod client;
mod peer;

use std::{sync::Arc, time::Duration};

use kamaitachi_discovery::NodeAddr;
use rand::RngExt;
use tokio::sync::watch;
use turmoil::Sim;

use self::account::{Account, Found};
use crate::rig::{
    chaos::{Chaos, network},
    seeds,
    trace::Trace,
};

const PEERS: [&str; 3] = ["peer-1", "peer-2", "peer-3"];
const PORT: u16 = 8001;
const LINKS: [(&str, &str); 3] = [("peer-1", "peer-2"), ("peer-1", "peer-3"), ("peer-2", "peer-3")];
/// With faults.
const RAGE: Duration = Duration::from_secs(8);
/// And then without, at the most until they agree.
const CALM: Duration = Duration::from_secs(90);

/// What differs between seeds beside chance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// A key is held by its owner and one more, instead of by all.
    some_hold: bool,
    /// Next to no memory for deletes.
    forgetful: bool,
    /// Queues of a few writes.
    narrow: bool,
    /// Peers hear of members that go and come.
    members_change: bool,
}

impl Kind {
    fn of(seed: u64) -> Self {
        Self {
            some_hold: seed % 4 == 3,
            forgetful: seed % 5 == 4,
            narrow: seed % 3 == 2,
            members_change: seed % 2 == 1,
        }
    }
}

#[test]
fn peers_agree_after_faults_and_nothing_deleted_comes_back() {
    let name = "peers_agree_after_faults_and_nothing_deleted_comes_back";
    let found = seeds::each(name, 30, |seed| run(seed).0);
    let sum = |of: fn(&Found) -> u64| found.iter().map(of).sum::<u64>();
    let (writes, gets) = (sum(|found| found.writes), sum(|found| found.gets));
    let (asked, kept) = (sum(|found| found.asked), sum(|found| found.kept));
    println!("{} seeds: {writes} writes, {gets} gets, {asked} requests of peers", found.len());
    let many = found.len() as u64;
    assert!(!seeds::all_run() || (writes > 40 * many && gets > 40 * many));
    assert!(!seeds::all_run() || (asked > 20 * many && kept > many));
}

#[test]
fn a_seed_of_the_group_replays() {
    for seed in 4..6 {
        let (once, again) = (run(seed).1, run(seed).1);
        let differs = once.iter().zip(&again).position(|(one, two)| one != two);
        let at = differs.map(|at| (&once[at.saturating_sub(3)..=at], &again[at]));
        assert!(once == again, "seed {seed}: {at:?}");
    }
}

fn addr(peer: usize) -> NodeAddr {
    format!("{}:{PORT}", PEERS[peer]).parse().unwrap()
}

fn run(seed: u64) -> (Found, Vec<String>) {
    let (kind, trace) = (Kind::of(seed), Arc::new(Trace::default()));
    let noted = Arc::clone(&trace);
    let account = Account::new(move |line| noted.note(line));
    let everyone: Arc<[NodeAddr]> = (0..PEERS.len()).map(addr).collect();
    let views = [(); 3].map(|()| watch::Sender::new(Arc::clone(&everyone)));
    let mut sim = network(seed);
    for (peer, name) in PEERS.into_iter().enumerate() {
        let (account, view) = (account.clone(), views[peer].clone());
        sim.host(name, move || peer::run(peer, kind, seed, account.clone(), view.subscribe()));
    }
    let every = Duration::from_millis(500);
    let mut chaos = Chaos::new(seed, &trace, &PEERS, LINKS.to_vec(), every).silent();
    chaos.rage(&mut sim, RAGE, &mut |_, rng| {
        if !kind.members_change {
            return;
        }
        // One peer hears that another has gone, which may be itself, or that all are there.
        let (who, gone) = (rng.random_range(0..PEERS.len()), rng.random_range(0..=PEERS.len()));
        let members = (0..PEERS.len()).filter(|peer| *peer != gone).map(addr).collect();
        trace.note(format!("{} hears that {gone} has gone", PEERS[who]));
        views[who].send_replace(members);
    });
    for view in &views {
        view.send_replace(Arc::clone(&everyone));
    }
    chaos.heal(&mut sim, &[]);
    account.quiet();
    settle(&mut sim, &account, kind);
    drop(sim);
    (account.judge(kind), trace.take())
}

/// Lets time pass until all agree and go on agreeing.
fn settle(sim: &mut Sim<'_>, account: &Account, kind: Kind) {
    let end = sim.elapsed() + CALM;
    let mut agreed = 0;
    while sim.elapsed() < end && agreed < 4 {
        Chaos::calm(sim, Duration::from_secs(1));
        agreed = if account.agree(kind) { agreed + 1 } else { 0 };
    }
}
