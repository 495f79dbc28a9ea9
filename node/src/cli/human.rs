//! Numbers as people read them.

use std::time::Duration;

/// Bytes, in the largest binary unit that leaves at least one: `17.2 KiB`.
#[must_use]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// A time in its two largest units: `2h 5m`, `3.2s`, `450ms`.
#[must_use]
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |big: u64, unit: &str, small: u64, lesser: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit} {small}{lesser}"),
    };
    match seconds {
        0 if time.as_millis() > 0 => format!("{}ms", time.as_millis()),
        0 => format!("{}µs", time.as_micros()),
        1..10 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// `part` of `whole`, in percent: `99.7%`. `-` where there is no whole.
#[must_use]
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// A number with its thousands apart: `12,345`.
#[must_use]
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_one_decimal_and_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 20, "1.0 MiB"),
            ((1 << 30) - 1, "1023.9 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_have_at_most_two_units() {
        for (millis, text) in [
            (450, "450ms"),
            (3_250, "3.2s"),
            (59_999, "59s"),
            (60_000, "1m"),
            (125_000, "2m 5s"),
            (7_500_000, "2h 5m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
        assert_eq!(time(Duration::from_micros(20)), "20µs");
    }

    #[test]
    fn rates_and_counts_are_readable() {
        assert_eq!([percent(0, 0), percent(997, 1000), percent(3, 3)], ["-", "99.7%", "100.0%"]);
        assert_eq!([count(1), count(1000), count(1_234_567)], ["1", "1,000", "1,234,567"]);
    }
}
