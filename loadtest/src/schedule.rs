//! When each request is due.
//!
//! A closed loop sends the next request when the last one is answered, so a slow server slows the
//! generator and hides its own queue ("coordinated omission"). The open loop fixes every start
//! beforehand; latency then counts from the intended start, also for requests that had to wait
//! because all connections were busy.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Deals out the requests of a run to whoever is free.
#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    end: Option<Instant>,
    requests: Option<u64>,
    rate: Option<f64>,
    dealt: AtomicU64,
}

/// One request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which request of the run, from 0.
    pub number: u64,
    /// When it should start; `None` in a closed loop: now.
    pub due: Option<Instant>,
}

impl Schedule {
    /// A schedule that starts now: at most `requests`, for at most `duration`, `rate` a second.
    #[must_use]
    pub fn new(requests: Option<u64>, duration: Option<Duration>, rate: Option<f64>) -> Self {
        let start = Instant::now();
        let end = duration.map(|duration| start + duration);
        Self { start, end, requests, rate, dealt: AtomicU64::new(0) }
    }

    /// The next turn, or `None` when the run is over. Never blocks.
    pub fn next(&self) -> Option<Turn> {
        let number = self.dealt.fetch_add(1, Ordering::Relaxed);
        if self.requests.is_some_and(|most| number >= most) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 requests")]
        let due = self.rate.map(|rate| self.start + Duration::from_secs_f64(number as f64 / rate));
        let starts = due.unwrap_or_else(Instant::now);
        (self.end.is_none_or(|end| starts < end)).then_some(Turn { number, due })
    }

    /// When the run began.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_fixes_every_start_beforehand() {
        let schedule = Schedule::new(Some(3), None, Some(10.0));
        tokio::time::advance(Duration::from_secs(5)).await; // a stall moves no start
        let turns = std::iter::from_fn(|| schedule.next());
        let dues: Vec<_> = turns.map(|turn| turn.due.unwrap() - schedule.start()).collect();
        assert_eq!(dues, [0, 100, 200].map(Duration::from_millis));
    }

    #[tokio::test(start_paused = true)]
    async fn a_duration_ends_a_closed_loop() {
        let schedule = Schedule::new(None, Some(Duration::from_secs(1)), None);
        assert!(schedule.next().is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(schedule.next().is_none());
    }
}
