//! Calendar facts of an epoch second, UTC.
//!
//! Days become civil dates by Howard Hinnant's `civil_from_days`
//! (<https://howardhinnant.github.io/date_algorithms.html>), which is exact for the proleptic
//! Gregorian calendar. Constant time, no allocation.

use std::fmt;

use crate::model::Epoch;

const SECONDS_OF_DAY: i64 = 86_400;
/// 0001-01-01 and 9999-12-31, in days since 1970-01-01.
const FIRST_DAY: i64 = -719_162;
const LAST_DAY: i64 = 2_932_896;

/// A day of the years 0001 to 9999. Prints as `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: i64,
    month: i64,
    day: i64,
}

impl Day {
    /// The day on which `at` falls; what lies outside the years 0001 to 9999 counts as the first
    /// or the last day of them, because it could not be written in four digits.
    #[must_use]
    pub fn of(at: Epoch) -> Self {
        Self::from_days(at.div_euclid(SECONDS_OF_DAY).clamp(FIRST_DAY, LAST_DAY))
    }

    fn from_days(days: i64) -> Self {
        // Eras of 400 years, counted from 0000-03-01 so that the leap day ends the year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self { year: era * 400 + year_of_era + i64::from(month <= 2), month, day }
    }

    /// Midnight at the start of the last day of a quarter (1 to 4).
    pub(crate) fn quarter_end(year: i64, quarter: i64) -> Epoch {
        let (month, day) =
            [(3, 31), (6, 30), (9, 30), (12, 31)][usize::try_from(quarter - 1).unwrap_or(0).min(3)];
        Self { year, month, day }.days() * SECONDS_OF_DAY
    }

    /// Hinnant's `days_from_civil`, the way back.
    fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * from_march + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }

    /// The year, four digits.
    #[must_use]
    pub fn year(self) -> String {
        format!("{:04}", self.year)
    }

    /// The code of the quarter: `596001` to `596004`.
    #[must_use]
    pub fn period(self) -> &'static str {
        match self.month {
            1..=3 => "596001",
            4..=6 => "596002",
            7..=9 => "596003",
            _ => "596004",
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// `at` as `YYYY-MM-DD hh:mm:ss`, UTC; clamped like [`Day::of`].
#[must_use]
pub fn date_time(at: Epoch) -> String {
    let at = at.clamp(FIRST_DAY * SECONDS_OF_DAY, LAST_DAY * SECONDS_OF_DAY + SECONDS_OF_DAY - 1);
    let second = at.rem_euclid(SECONDS_OF_DAY);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{} {hour:02}:{minute:02}:{:02}", Day::of(at), second % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_the_days_of_the_calendar() {
        for (at, day, period) in [
            (0, "1970-01-01", "596001"),
            (1_703_980_800, "2023-12-31", "596004"),
            (1_696_032_000, "2023-09-30", "596003"),
            (951_782_400, "2000-02-29", "596001"),
            (-1, "1969-12-31", "596004"),
            (-62_135_596_800, "0001-01-01", "596001"),
            (253_402_300_799, "9999-12-31", "596004"),
            (i64::MIN, "0001-01-01", "596001"),
            (i64::MAX, "9999-12-31", "596004"),
        ] {
            assert_eq!(Day::of(at).to_string(), day, "{at}");
            assert_eq!(Day::of(at).period(), period, "{at}");
        }
        assert_eq!(Day::of(-62_135_596_800).year(), "0001");
    }

    #[test]
    fn writes_the_time_of_day() {
        assert_eq!(date_time(1_703_980_799), "2023-12-30 23:59:59");
        assert_eq!(date_time(i64::MAX), "9999-12-31 23:59:59");
        assert_eq!(date_time(i64::MIN), "0001-01-01 00:00:00");
    }

    #[test]
    fn ends_quarters_at_the_right_midnight() {
        assert_eq!(Day::quarter_end(2023, 4), 1_703_980_800);
        assert_eq!(Day::quarter_end(2023, 3), 1_696_032_000);
        assert_eq!(Day::quarter_end(1969, 4), -86_400);
    }

    proptest! {
        #[test]
        fn dates_and_days_are_inverse_and_in_order(days in FIRST_DAY..LAST_DAY) {
            let (day, next) = (Day::from_days(days), Day::from_days(days + 1));
            prop_assert_eq!(day.days(), days);
            prop_assert!(day < next && day.to_string() < next.to_string());
        }
    }
}
