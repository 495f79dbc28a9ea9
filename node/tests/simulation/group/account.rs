//! What was written where and when, and whether what is left at the end is right.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use kamaitachi_node::group::{Version, Wait, Written, proto::StatsReply};
use parking_lot::Mutex;

use super::{Kind, PEERS};

pub(crate) const KEYS: usize = 5;

/// A write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Set(usize, u64),
    Delete(usize),
    Clear,
}

impl What {
    fn concerns(self, at: usize) -> bool {
        match self {
            Self::Set(key, _) | Self::Delete(key) => key == at,
            Self::Clear => true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Write {
    what: What,
    peer: usize,
    life: u64,
    /// Not known of one whose maker died before it was told.
    version: Option<Version>,
    /// The lives of all peers when it began.
    before: [u64; 3],
    /// And when all had it, if all had.
    everywhere: Option<[u64; 3]>,
}

/// What a run found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) writes: u64,
    pub(crate) gets: u64,
    /// Requests and writes that peers got from peers.
    pub(crate) asked: u64,
    /// Keys with a write that could not be lost.
    pub(crate) kept: u64,
}

/// What a peer answers, and whether it holds that itself.
type Seen = Option<(Option<Bytes>, bool)>;

#[derive(Debug, Default)]
struct State {
    writes: Vec<Write>,
    lives: [u64; 3],
    gets: u64,
    quiet: bool,
    seen: [[Seen; KEYS]; 3],
    looks: [u64; 3],
    asked: HashMap<usize, u64>,
    max_hops: u64,
}

#[derive(Clone)]
pub(crate) struct Account {
    state: Arc<Mutex<State>>,
    /// Is told what happens, as it happens.
    note: Arc<dyn Fn(String) + Send + Sync>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.lock().fmt(f)
    }
}

impl Account {
    pub(crate) fn new(note: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), note: Arc::new(note) }
    }

    pub(crate) fn begins(&self, peer: usize) -> u64 {
        (self.note)(format!("{} begins", PEERS[peer]));
        let mut state = self.state.lock();
        state.lives[peer] += 1;
        state.lives[peer]
    }

    /// The life a peer is in.
    pub(crate) fn life(&self, peer: usize) -> u64 {
        self.state.lock().lives[peer]
    }

    pub(crate) fn quiet(&self) {
        self.state.lock().quiet = true;
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.state.lock().quiet
    }

    /// The value of a new set, and its number.
    pub(crate) fn sets(&self, peer: usize, life: u64, at: usize) -> (Bytes, usize) {
        let number = self.state.lock().writes.len() as u64;
        let value = Bytes::from(number.to_string());
        (value, self.begun(peer, life, What::Set(at, number)))
    }

    pub(crate) fn begun(&self, peer: usize, life: u64, what: What) -> usize {
        (self.note)(format!("{}: {what:?}", PEERS[peer]));
        let mut state = self.state.lock();
        let before = state.lives;
        state.writes.push(Write { what, peer, life, version: None, before, everywhere: None });
        state.writes.len() - 1
    }

    pub(crate) fn wrote(&self, begun: usize, written: Written, wait: Wait) {
        let mut state = self.state.lock();
        let lives = state.lives;
        let write = &mut state.writes[begun];
        write.version = Some(written.version);
        // To others than it went to it says nothing.
        let all = wait == Wait::All && written.satisfied && written.asked == 2;
        write.everywhere = all.then_some(lives);
        (self.note)(format!("{begun} is {:?}", written.version));
    }

    /// A get at `peer`, which had written `own` just before.
    pub(crate) fn got(&self, peer: usize, at: usize, value: Option<&[u8]>, own: Version) {
        let mut state = self.state.lock();
        state.gets += 1;
        let Some(write) = value.map(|value| state.written(at, value)) else { return };
        if let Some(version) = write.version {
            let who = PEERS[peer];
            assert!(version > own, "{who} wrote {own:?} and then saw {write:?}");
        }
    }

    pub(crate) fn sees(&self, peer: usize, at: usize, value: Option<Bytes>, held: bool) {
        self.state.lock().seen[peer][at] = Some((value, held));
    }

    pub(crate) fn looked(&self, peer: usize, stats: &StatsReply) {
        let mut state = self.state.lock();
        state.looks[peer] += 1;
        state.max_hops = state.max_hops.max(stats.max_hops);
        state.asked.insert(peer, stats.sync_acknowledged + stats.hits_peer);
    }

    /// Whether all have looked, answer the same, and hold the same where all hold all.
    pub(crate) fn agree(&self, kind: Kind) -> bool {
        let state = self.state.lock();
        let alike = |one: &[Seen; KEYS], two: &[Seen; KEYS]| {
            one.iter().zip(two).all(|pair| match pair {
                (Some((one, _)), Some((two, _))) if kind.some_hold => one == two,
                (one, two) => one == two,
            })
        };
        let [first, second, third] = &state.seen;
        state.looks.iter().all(|looks| *looks > 1) && alike(first, second) && alike(second, third)
    }

    /// Judges the end.
    pub(crate) fn judge(&self, kind: Kind) -> Found {
        assert!(self.agree(kind), "they do not agree: {:?}", self.state.lock().seen);
        let state = self.state.lock();
        assert!(state.max_hops <= 1, "a request passed {} peers", state.max_hops);
        let mut kept = 0;
        for at in 0..KEYS {
            kept += u64::from(state.is_right(at, kind));
        }
        let writes = state.writes.len() as u64;
        Found { writes, gets: state.gets, asked: state.asked.values().sum(), kept }
    }
}

impl State {
    /// The set that a value is of.
    fn written(&self, at: usize, value: &[u8]) -> Write {
        let number: usize = str::from_utf8(value).unwrap().parse().unwrap();
        let write = self.writes[number];
        assert_eq!(write.what, What::Set(at, number as u64), "the value is another key's");
        write
    }

    /// Whether somebody who had it has not died since.
    fn is_kept(&self, write: &Write) -> bool {
        let all = write.everywhere.is_some_and(|after| {
            (0..3).any(|peer| {
                write.before[peer] == self.lives[peer] && after[peer] == self.lives[peer]
            })
        });
        write.life == self.lives[write.peer] || all
    }

    /// Looks at the last word on a key; says whether there had to be one.
    fn is_right(&self, at: usize, kind: Kind) -> bool {
        let of_key = || self.writes.iter().filter(|write| write.what.concerns(at));
        let newest = |only_deletes: bool| {
            let kept = of_key().filter(|write| self.is_kept(write));
            let kept = kept.filter(|write| !only_deletes || !matches!(write.what, What::Set(..)));
            kept.filter(|write| write.version.is_some()).max_by_key(|write| write.version)
        };
        let value = self.seen[0][at].as_ref().and_then(|(value, _)| value.clone());
        if let Some(value) = value {
            let last = self.written(at, &value);
            // Where not all hold it, or deletes are forgotten, sets may be lost: then deletes count alone.
            let Some(kept) = newest(kind.some_hold || kind.forgetful) else { return false };
            assert!(
                last.version.is_none_or(|version| version >= kept.version.unwrap()),
                "key {at} is {last:?}, though there was {kept:?}"
            );
            return true;
        }
        if let Some(kept) = newest(false)
            && matches!(kept.what, What::Set(..))
            && !(kind.some_hold || kind.forgetful)
        {
            let deletes = |write: &&Write| {
                !matches!(write.what, What::Set(..))
                    && write.version.is_none_or(|version| Some(version) > kept.version)
            };
            assert!(of_key().any(|write| deletes(&write)), "key {at} is lost, which was {kept:?}");
        }
        newest(false).is_some()
    }
}
