//! Random writes at three peers over a network that loses, repeats and reorders: the rules of the
//! store alone, no task and no socket.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use crate::group::{
    store::{Act, Memory, Newest, Outcome, Store},
    version::{Clock, Version},
};

const PEERS: usize = 3;
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Set {
        peer: usize,
        key: usize,
        value: u32,
    },
    Delete {
        peer: usize,
        key: usize,
    },
    Clear {
        peer: usize,
    },
    /// Delivers one of the messages under way, and keeps it if it is to come twice.
    Deliver {
        which: usize,
        again: bool,
    },
    Lose {
        which: usize,
    },
    /// Fills from a loader, as a get would.
    Fill {
        peer: usize,
        key: usize,
    },
    /// Time passes: tombstones are forgotten.
    Sweep {
        peer: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, key) = (0..PEERS, 0..KEYS.len());
    prop_oneof![
        4 => (peer.clone(), key.clone(), 1_u32..1000)
            .prop_map(|(peer, key, value)| Step::Set { peer, key, value }),
        3 => (peer.clone(), key.clone()).prop_map(|(peer, key)| Step::Delete { peer, key }),
        1 => peer.clone().prop_map(|peer| Step::Clear { peer }),
        8 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, again)| Step::Deliver { which, again }),
        3 => any::<usize>().prop_map(|which| Step::Lose { which }),
        1 => (peer.clone(), key).prop_map(|(peer, key)| Step::Fill { peer, key }),
        1 => peer.prop_map(|peer| Step::Sweep { peer }),
    ]
}

#[derive(Clone, Debug)]
struct Message {
    to: usize,
    write: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Set(usize, u32, Version),
    Delete(usize, Version),
    Clear(Version),
}

impl Write {
    fn version(self) -> Version {
        match self {
            Self::Set(_, _, version) | Self::Delete(_, version) | Self::Clear(version) => version,
        }
    }
}

struct World {
    peers: Vec<(Store<u32>, Clock)>,
    /// Wall clocks of the peers, hours apart.
    walls: [u64; PEERS],
    under_way: Vec<Message>,
    history: Vec<Write>,
    now: Instant,
    far: Instant,
}

impl World {
    fn new(tombstones: usize, life: Duration) -> Self {
        let memory = Memory { tombstones, tombstone_life: life };
        let peer = |node| (Store::new(1 << 20, memory, |_, _| {}), Clock::new(node, SKEW));
        let now = tokio::time::Instant::now().into_std();
        Self {
            peers: (1..=PEERS as u64).map(peer).collect(),
            walls: [10_000_000, 17_200_000, 2_800_000],
            under_way: Vec::new(),
            history: Vec::new(),
            now,
            far: now + Duration::from_secs(1_000_000),
        }
    }

    fn run(&mut self, step: &Step) {
        self.now += Duration::from_secs(1);
        match *step {
            Step::Set { peer, key, value } => {
                let version = self.write(peer, key, self.set(value));
                self.send(peer, Write::Set(key, value, version));
            }
            Step::Delete { peer, key } => self.delete(peer, key),
            Step::Clear { peer } => {
                self.walls[peer] += 1;
                let (store, clock) = &self.peers[peer];
                let version = clock.after(store.latest(), self.walls[peer]);
                store.clear(version, || {});
                self.send(peer, Write::Clear(version));
            }
            Step::Deliver { which, again } if !self.under_way.is_empty() => {
                let which = which % self.under_way.len();
                let message = self.under_way[which].clone();
                if !again {
                    self.under_way.swap_remove(which);
                }
                self.receive(&message);
            }
            Step::Lose { which } if !self.under_way.is_empty() => {
                let which = which % self.under_way.len();
                self.under_way.swap_remove(which);
            }
            Step::Deliver { .. } | Step::Lose { .. } => {}
            Step::Fill { peer, key } => {
                let key = Arc::from(KEYS[key]);
                let store = &self.peers[peer].0;
                store.fill(&key, (Some(0), 1), (self.far, None), self.now, || true);
            }
            Step::Sweep { peer } => self.peers[peer].0.sweep(self.now),
        }
    }

    fn set(&self, value: u32) -> Act<u32> {
        Act::Set { value, weight: 4, expires: self.far }
    }

    fn delete(&mut self, peer: usize, key: usize) {
        let version = self.write(peer, key, Act::Delete);
        self.send(peer, Write::Delete(key, version));
    }

    fn write(&mut self, peer: usize, key: usize, act: Act<u32>) -> Version {
        self.walls[peer] += 1;
        let ((store, clock), wall) = (&self.peers[peer], self.walls[peer]);
        let next = |known| clock.after(known, wall);
        store.write(&Arc::from(KEYS[key]), act, next, self.now, || {}).0
    }

    fn send(&mut self, from: usize, write: Write) {
        self.history.push(write);
        let others = (0..PEERS).filter(|to| *to != from);
        self.under_way.extend(others.map(|to| Message { to, write }));
    }

    /// Gives what came of it.
    fn receive(&self, message: &Message) -> Outcome {
        let ((store, clock), wall) = (&self.peers[message.to], self.walls[message.to]);
        clock.observe(message.write.version(), wall);
        let apply = |key: usize, act, version| {
            store.apply(&Arc::from(KEYS[key]), act, version, self.now, || {})
        };
        match message.write {
            Write::Set(key, value, version) => apply(key, self.set(value), version),
            Write::Delete(key, version) => apply(key, Act::Delete, version),
            Write::Clear(version) => match store.clear(version, || {}) {
                true => Outcome::Applied { existed: true },
                false => Outcome::Known,
            },
        }
    }

    /// What comparing notes does, all with all, until there is nothing left to tell.
    fn reconcile(&mut self) {
        self.under_way.clear();
        for _ in 0..10 {
            let mut told = false;
            for (from, to) in (0..PEERS).flat_map(|a| (0..PEERS).map(move |b| (a, b))) {
                told |= from != to && self.tell(from, to);
            }
            if !told {
                return;
            }
        }
        panic!("there is no end to what they tell each other");
    }

    fn tell(&mut self, from: usize, to: usize) -> bool {
        let cleared = self.peers[from].0.cleared();
        let mut news = cleared > self.peers[to].0.cleared();
        self.receive(&Message { to, write: Write::Clear(cleared) });
        for (name, version, deleted) in self.peers[from].0.known(self.now) {
            let key = KEYS.iter().position(|key| **key == *name).unwrap();
            if version <= cleared {
                continue;
            }
            let write = match self.peers[from].0.newest(&name, self.now) {
                Newest::Set { value, version, .. } => Write::Set(key, value, version),
                _ if deleted => Write::Delete(key, version),
                _ => continue,
            };
            match self.receive(&Message { to, write }) {
                Outcome::Applied { .. } => news = true,
                Outcome::Forgotten => {
                    // A peer that may have forgotten a delete of it: it is deleted then.
                    self.delete(from, key);
                    self.under_way.clear();
                    news = true;
                }
                Outcome::Known | Outcome::Old => {}
            }
        }
        news
    }

    /// What each peer holds of a key, fills aside.
    fn held(&self, key: usize) -> Vec<Option<u32>> {
        let held = |(store, _): &(Store<u32>, Clock)| match store.newest(KEYS[key], self.now) {
            Newest::Set { value, .. } => Some(value),
            Newest::Deleted(_) | Newest::Lost(_) | Newest::Nothing => None,
        };
        self.peers.iter().map(held).collect()
    }

    /// The last word on a key.
    fn last(&self, key: usize) -> Option<u32> {
        let of = |write: &&Write| match **write {
            Write::Set(at, ..) | Write::Delete(at, _) => at == key,
            Write::Clear(_) => true,
        };
        match self.history.iter().filter(of).max_by_key(|write| write.version()) {
            Some(Write::Set(_, value, _)) => Some(*value),
            _ => None,
        }
    }
}

const SKEW: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(100_000);

proptest! {
    #[test]
    fn peers_agree_on_the_last_write_whatever_the_network_and_their_clocks_do(
        steps in prop::collection::vec(step(), 0..120)
    ) {
        let mut world = World::new(1000, LONG);
        for step in &steps {
            world.run(step);
        }
        world.reconcile();
        for (key, name) in KEYS.iter().enumerate() {
            prop_assert_eq!(world.held(key), vec![world.last(key); PEERS], "{}", name);
        }
    }

    #[test]
    fn with_next_to_no_memory_for_deletes_peers_still_agree_and_no_deleted_key_comes_back(
        steps in prop::collection::vec(step(), 0..120), most in 1_usize..3, life in 1_u64..20
    ) {
        let mut world = World::new(most, Duration::from_secs(life));
        for step in &steps {
            world.run(step);
        }
        let last: Vec<_> = (0..KEYS.len()).map(|key| world.last(key)).collect();
        world.reconcile();
        for (key, last) in last.into_iter().enumerate() {
            let held = world.held(key);
            prop_assert!(held.iter().all(|one| *one == held[0]), "{}: {held:?}", KEYS[key]);
            // What was set may be forgotten; what was deleted may not be remembered.
            prop_assert!(held[0].is_none() || held[0] == last, "{held:?} and not {last:?}");
        }
    }
}
