//! Faults by chance: hosts that die and come back, links that lose all or keep it back for a while.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use turmoil::{Builder, Sim};

use super::trace::Trace;

/// How far hosts run before the next has its turn.
const TICK: Duration = Duration::from_millis(10);

/// A fault that is over at some time.
#[derive(Clone, Copy)]
enum Fault {
    Down(&'static str),
    Cut(&'static str, &'static str),
    Held(&'static str, &'static str),
}

/// The faults of a seed.
pub(crate) struct Chaos<'t> {
    pub(crate) rng: StdRng,
    trace: &'t Trace,
    /// Who may die.
    mortal: &'static [&'static str],
    /// Between whom the network may fail.
    links: Vec<(&'static str, &'static str)>,
    /// A fault every so often, on average.
    every: Duration,
    /// Whether the connections of a host that dies are not ended by it.
    silent: bool,
    going: BTreeMap<String, (Duration, Fault)>,
}

/// A network with delays of its own.
pub(crate) fn network(seed: u64) -> Sim<'static> {
    let mut builder = Builder::new();
    builder.rng_seed(seed).tick_duration(TICK).enable_random_order();
    builder.min_message_latency(Duration::from_millis(1));
    builder.max_message_latency(Duration::from_millis(60));
    // A peer that takes nothing for a while is no error of the simulation.
    builder.tcp_capacity(1 << 16).simulation_duration(Duration::from_hours(1));
    builder.build()
}

impl<'t> Chaos<'t> {
    pub(crate) fn new(
        seed: u64,
        trace: &'t Trace,
        mortal: &'static [&'static str],
        links: Vec<(&'static str, &'static str)>,
        every: Duration,
    ) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { rng, trace, mortal, links, every, silent: false, going: BTreeMap::new() }
    }

    /// Hosts die as machines do: nobody is told. So it must be where a host has tasks, for the order in which these end
    /// its connections is another each time.
    pub(crate) fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Lets time pass with faults, and with those of `more` every so often.
    pub(crate) fn rage(
        &mut self,
        sim: &mut Sim<'_>,
        time: Duration,
        more: &mut dyn FnMut(&mut Sim<'_>, &mut StdRng),
    ) {
        let end = sim.elapsed() + time;
        let chance = TICK.as_secs_f64() / self.every.as_secs_f64();
        while sim.elapsed() < end {
            sim.step().unwrap();
            self.end(sim, sim.elapsed());
            if !self.rng.random_bool(chance) {
                continue;
            }
            match self.rng.random_range(0..8) {
                0..3 => self.crash(sim),
                3..5 => self.cut(sim, Fault::Cut),
                5 => self.cut(sim, Fault::Held),
                _ => more(sim, &mut self.rng),
            }
        }
    }

    /// Ends all faults but the deaths of `gone`.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'_>, gone: &[&'static str]) {
        self.trace.note("faults end");
        for host in gone {
            if self.going.remove(*host).is_none() {
                sim.crash(*host);
            }
            self.trace.note(format!("{host} is gone for good"));
        }
        self.end(sim, Duration::MAX);
    }

    /// Lets time pass without faults.
    pub(crate) fn calm(sim: &mut Sim<'_>, time: Duration) {
        let end = sim.elapsed() + time;
        while sim.elapsed() < end {
            sim.step().unwrap();
        }
    }

    fn time(&mut self, sim: &Sim<'_>) -> Duration {
        sim.elapsed() + Duration::from_millis(self.rng.random_range(20..4_000))
    }

    fn crash(&mut self, sim: &mut Sim<'_>) {
        let host = self.mortal[self.rng.random_range(0..self.mortal.len())];
        let until = self.time(sim);
        if !self.going.contains_key(host) {
            self.trace.note(format!("{:?} {host} dies", sim.elapsed()));
            self.kill(sim, host);
            self.going.insert(host.to_owned(), (until, Fault::Down(host)));
        }
    }

    fn kill(&self, sim: &mut Sim<'_>, host: &str) {
        let of_host = |link: &&(&str, &str)| self.silent && (link.0 == host || link.1 == host);
        for (a, b) in self.links.iter().filter(of_host) {
            sim.partition(*a, *b);
        }
        sim.crash(host);
        for (a, b) in self.links.iter().filter(of_host) {
            match self.going.get(&format!("{a} {b}")) {
                Some((_, Fault::Cut(..))) => {}
                Some((_, Fault::Held(..))) => sim.hold(*a, *b),
                _ => sim.repair(*a, *b),
            }
        }
    }

    fn cut(&mut self, sim: &Sim<'_>, how: fn(&'static str, &'static str) -> Fault) {
        let (a, b) = self.links[self.rng.random_range(0..self.links.len())];
        let (until, link, fault) = (self.time(sim), format!("{a} {b}"), how(a, b));
        if self.going.contains_key(&link) {
            return;
        }
        match fault {
            Fault::Cut(a, b) => sim.partition(a, b),
            Fault::Held(a, b) => sim.hold(a, b),
            Fault::Down(_) => {}
        }
        self.trace.note(format!("{:?} {link} fails", sim.elapsed()));
        self.going.insert(link, (until, fault));
    }

    fn end(&mut self, sim: &mut Sim<'_>, now: Duration) {
        let over = self.going.extract_if(.., |_, (until, _)| *until <= now);
        for (_, (_, fault)) in over.collect::<Vec<_>>() {
            match fault {
                Fault::Down(host) => sim.bounce(host),
                Fault::Cut(a, b) => sim.repair(a, b),
                Fault::Held(a, b) => sim.release(a, b),
            }
        }
    }
}
