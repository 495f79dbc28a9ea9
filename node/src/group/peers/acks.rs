//! Who waits for peers to have a write.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::group::version::Version;

/// What a write waits for before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is applied here and on its way to the others.
    #[default]
    None,
    /// The key's owner has it.
    Owner,
    /// More than half of the group has it, this peer counted.
    Quorum,
    /// Every peer it goes to has it.
    All,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whether the key had a value here before.
    pub existed: bool,
    /// Its place in the order of all writes.
    pub version: Version,
    /// Peers it goes to, this one not counted.
    pub asked: u32,
    /// Those that had it, or something newer, when this was answered.
    pub acknowledged: u32,
    /// Whether what was waited for came true in time.
    pub satisfied: bool,
}

/// Acknowledgements of one write as they come in.
#[derive(Debug)]
pub(in super::super) struct Acks {
    owner: Option<Arc<str>>,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    acknowledged: u32,
    /// Given up: those peers will not have it by this way.
    lost: u32,
    owner: bool,
}

impl Acks {
    pub(super) fn new(owner: Option<Arc<str>>) -> Self {
        Self { owner, state: watch::Sender::new(State::default()) }
    }

    pub(super) fn acknowledged(&self, by: &Arc<str>) {
        self.state.send_modify(|state| {
            state.acknowledged += 1;
            state.owner |= self.owner.as_ref() == Some(by);
        });
    }

    pub(super) fn lost(&self) {
        self.state.send_modify(|state| state.lost += 1);
    }

    /// Waits until `enough` have it, all have answered, or the time is over; gives how many had it
    /// and whether that was enough.
    pub(super) async fn wait(&self, asked: u32, enough: Enough, at_most: Duration) -> (u32, bool) {
        let mut states = self.state.subscribe();
        let done = |state: &State| enough.holds(*state) || state.acknowledged + state.lost >= asked;
        // The sender is `self`, so the channel stays open; late is late.
        let _ = timeout(at_most, states.wait_for(done)).await;
        let state = *states.borrow();
        (state.acknowledged, enough.holds(state))
    }
}

/// When a write has waited for long enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Enough {
    Owner,
    Count(u32),
}

impl Enough {
    fn holds(self, state: State) -> bool {
        match self {
            Self::Owner => state.owner,
            Self::Count(count) => state.acknowledged >= count,
        }
    }
}
