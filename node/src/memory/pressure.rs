//! How short of memory a process is, and how large its cache may then be: decisions alone.

/// How short of memory a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Not at all.
    None,
    /// What can be read again has to go.
    Low,
    /// Nothing large is begun any more.
    High,
    /// Nothing is begun any more.
    Critical,
}

impl Pressure {
    /// From none to the most.
    pub const ALL: [Self; 4] = [Self::None, Self::Low, Self::High, Self::Critical];

    /// A word for logs and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The share of the limit at which it begins, in percent.
    fn begins(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Low => 80,
            Self::High => 90,
            Self::Critical => 95,
        }
    }
}

/// Points below its beginning at which a pressure ends, so that it does not come and go with every
/// look.
const SLACK: u64 = 5;

/// Tells the pressure from what is used of a limit.
#[derive(Debug)]
pub(super) struct Watermarks {
    limit: u64,
    now: Pressure,
}

impl Watermarks {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit: limit.max(1), now: Pressure::None }
    }

    /// The pressure, now that `used` bytes are held.
    pub(super) fn look(&mut self, used: u64) -> Pressure {
        let percent = u64::try_from(u128::from(used) * 100 / u128::from(self.limit));
        let percent = percent.unwrap_or(u64::MAX);
        let reached = |at: u64| Pressure::ALL.into_iter().rfind(|p| p.begins() <= at);
        let rising = reached(percent).unwrap_or(Pressure::None);
        let falling = reached(percent.saturating_add(SLACK)).unwrap_or(Pressure::None);
        self.now = rising.max(self.now.min(falling));
        self.now
    }
}

/// How large a cache may be.
#[derive(Debug)]
pub(super) struct Bound {
    most: usize,
    now: usize,
    /// Looks until the last step can have shown.
    rest: u8,
}

impl Bound {
    /// As large as it was made.
    pub(super) fn new(most: usize) -> Self {
        Self { most, now: most, rest: 0 }
    }

    /// The bytes it may hold from now on, where that changes: under pressure less than it holds,
    /// an eighth at a time and by halves when it presses; else back to all, a sixty-fourth at a
    /// time. What was freed goes back to the system about a second later, so after a step down the
    /// next waits for a few looks, fewer the more it presses.
    pub(super) fn step(&mut self, pressure: Pressure, held: usize) -> Option<usize> {
        let held = held.min(self.now);
        self.rest = self.rest.saturating_sub(1);
        let (next, rest) = match pressure {
            Pressure::None => (self.now.saturating_add((self.most / 64).max(1)).min(self.most), 0),
            _ if self.rest > 0 => return None,
            Pressure::Low => (held - held / 8, 6),
            Pressure::High => (held / 2, 4),
            Pressure::Critical => (held / 2, 2),
        };
        self.rest = rest;
        let changed = next != self.now;
        self.now = next;
        changed.then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_at_its_mark_and_falls_below_it() {
        let mut marks = Watermarks::new(1_000);
        let mut look = |percent: u64| marks.look(percent * 10);
        assert_eq!(look(79), Pressure::None);
        assert_eq!(look(80), Pressure::Low);
        assert_eq!(look(75), Pressure::Low);
        assert_eq!(look(74), Pressure::None);
        assert_eq!(look(200), Pressure::Critical);
        assert_eq!(look(90), Pressure::Critical);
        assert_eq!(look(89), Pressure::High);
        assert_eq!(look(84), Pressure::Low);
        assert_eq!(look(96), Pressure::Critical);
        assert_eq!(look(10), Pressure::None);
        assert_eq!(Watermarks::new(0).look(u64::MAX), Pressure::Critical);
    }

    #[test]
    fn the_order_is_that_of_the_numbers() {
        assert!(Pressure::ALL.iter().enumerate().all(|(at, p)| *p as usize == at));
        assert!(Pressure::ALL.is_sorted());
    }

    #[test]
    fn a_cache_shrinks_from_what_it_holds_and_grows_back_to_what_it_was() {
        let mut bound = Bound::new(6_400);
        assert_eq!(bound.step(Pressure::None, 1_000), None);
        assert_eq!(bound.step(Pressure::Low, 800), Some(700));
        for _ in 0..5 {
            assert_eq!(bound.step(Pressure::Critical, 700), None, "the step has not shown yet");
        }
        assert_eq!(bound.step(Pressure::Critical, 700), Some(350));
        assert_eq!(bound.step(Pressure::None, 350), Some(450));
        for _ in 0..100 {
            bound.step(Pressure::None, 450);
        }
        assert_eq!(bound.now, 6_400);
        for _ in 0..100 {
            let held = bound.now;
            bound.step(Pressure::High, held);
        }
        assert_eq!(bound.now, 0);
        assert_eq!(bound.step(Pressure::None, 0), Some(100));
    }
}
