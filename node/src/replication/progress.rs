//! How far a slave is, and how late.
//!
//! A slave is in step while the master is heard and has nothing that the slave has not. Its lag in
//! seconds is the time since it was last known to be in step, by its own clock: no two clocks are
//! compared, and a master that is not heard makes the lag grow, for nobody knows what it wrote.

use std::time::{Duration, Instant};

use crate::model::Revision;

/// What a slave knows of its master and of itself. Pure: the time is passed in.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    announced: Revision,
    connected: bool,
    heard: Option<Instant>,
    in_step: Option<Instant>,
}

/// How late a slave is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Revisions that the master is known to have and the slave has not.
    pub revisions: u64,
    /// Since the slave was last known to be in step; `None` if it never was in this process.
    pub time: Option<Duration>,
}

impl Progress {
    /// The master said where it is; the slave is at `applied`.
    pub fn hear(&mut self, announced: Revision, applied: Revision, now: Instant) {
        self.connected = true;
        self.heard = Some(now);
        // Another history may count from a lower number.
        self.announced = announced;
        self.apply(applied, now);
    }

    /// The slave is at `applied`.
    pub fn apply(&mut self, applied: Revision, now: Instant) {
        if self.connected && applied >= self.announced {
            self.in_step = Some(now);
        }
    }

    /// The master is not heard any more.
    pub fn lose(&mut self) {
        self.connected = false;
    }

    /// Whether the master is heard.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The revision the master last said it is at.
    #[must_use]
    pub fn announced(&self) -> Revision {
        self.announced
    }

    /// How long ago the master was last heard.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        self.heard.map(|heard| now.saturating_duration_since(heard))
    }

    /// How late a slave at `applied` is.
    #[must_use]
    pub fn lag(&self, applied: Revision, now: Instant) -> Lag {
        let revisions = self.announced.saturating_sub(applied);
        let since = |at| now.saturating_duration_since(at);
        let time = match self.in_step {
            Some(_) if self.connected && revisions == 0 => Some(Duration::ZERO),
            in_step => in_step.map(since),
        };
        Lag { revisions, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slave_is_in_step_while_the_master_is_heard_and_has_nothing_new() {
        let start = tokio::time::Instant::now().into_std();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::default();
        assert_eq!(progress.lag(4, at(0)), Lag { revisions: 0, time: None });
        progress.hear(6, 4, at(1));
        assert_eq!(progress.lag(4, at(2)), Lag { revisions: 2, time: None });
        progress.apply(6, at(2));
        assert_eq!(progress.lag(6, at(3)), Lag { revisions: 0, time: Some(Duration::ZERO) });
        progress.hear(9, 6, at(4));
        let late = Lag { revisions: 3, time: Some(Duration::from_secs(5)) };
        assert_eq!(progress.lag(6, at(7)), late);
        progress.apply(9, at(8));
        progress.lose();
        // It may have written since.
        let lost = Lag { revisions: 0, time: Some(Duration::from_secs(12)) };
        assert_eq!(progress.lag(9, at(20)), lost);
        assert_eq!(progress.silence(at(20)), Some(Duration::from_secs(16)));
        progress.hear(2, 2, at(21));
        assert_eq!(progress.lag(2, at(21)).time, Some(Duration::ZERO), "another history");
    }
}
