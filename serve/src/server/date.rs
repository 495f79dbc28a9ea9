//! The `Date` of answers.
//!
//! The clock of the wall may be set back. A date that is kept until the clock has passed it, as
//! hyper keeps its own, then stands still for as long as the clock was set back; this one is drawn
//! anew whenever the second is another.

use std::{
    cell::RefCell,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;

/// The present as a header field, as of the last tick.
#[derive(Debug)]
pub(super) struct Date(RefCell<(u64, HeaderValue)>);

impl Date {
    pub(super) fn new(now: SystemTime) -> Self {
        Self(RefCell::new((seconds(now), written(now))))
    }

    /// Sets it, forward or back.
    pub(super) fn set(&self, now: SystemTime) {
        let mut kept = self.0.borrow_mut();
        if kept.0 != seconds(now) {
            *kept = (seconds(now), written(now));
        }
    }

    pub(super) fn value(&self) -> HeaderValue {
        self.0.borrow().1.clone()
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The year 9999 is the last that can be written.
fn written(now: SystemTime) -> HeaderValue {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds(now)).min(LAST));
    HeaderValue::from_str(&text).expect("a date is written in letters, digits, blanks and signs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_time_can_be_written() {
        let far = UNIX_EPOCH + Duration::from_secs(1 << 50);
        assert_eq!(Date::new(far).value(), "Fri, 31 Dec 9999 23:59:59 GMT");
        let before = UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(Date::new(before).value(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn it_follows_the_clock_forward_and_back() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 999);
        let date = Date::new(at(784_111_777));
        assert_eq!(date.value(), "Sun, 06 Nov 1994 08:49:37 GMT");
        date.set(at(784_115_377));
        assert_eq!(date.value(), "Sun, 06 Nov 1994 09:49:37 GMT");
        date.set(at(784_111_778));
        assert_eq!(date.value(), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
