//! Answers, and tables of them.

use std::time::{SystemTime, UNIX_EPOCH};

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// When its request was to start, in milliseconds since 1970.
    pub(crate) at: u64,
    /// Microseconds from then to its end.
    pub(crate) took: u64,
    /// What went wrong.
    pub(crate) failed: Option<String>,
    /// Whether no node read its store for it, if that is known.
    pub(crate) hit: Option<bool>,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// How many failed.
pub(crate) fn failed(answers: &[Answered]) -> usize {
    answers.iter().filter(|answer| answer.failed.is_some()).count()
}

/// The first failures, in words.
pub(crate) fn why(answers: &[Answered]) -> Vec<&str> {
    answers.iter().filter_map(|answer| answer.failed.as_deref()).take(5).collect()
}

/// Milliseconds within which so many per cent came.
pub(crate) fn percentile(answers: &[&Answered], percent: usize) -> f64 {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |micros| f64::from(u32::try_from(*micros).unwrap()) / 1_000.0)
}

/// Prints a row for each stretch of time: its name, its beginning, its end.
pub(crate) fn print(answers: &[Answered], stretches: &[(&str, u64, u64)]) {
    println!("| time | seconds | answers | failed | hits | P50 | P99 | slowest |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, from, to) in stretches {
        let some: Vec<_> =
            answers.iter().filter(|answer| (*from..*to).contains(&answer.at)).collect();
        let lost = some.iter().filter(|answer| answer.failed.is_some()).count();
        println!(
            "| {name} | {:.1} | {} | {lost} | {} | {:.1} ms | {:.1} ms | {:.1} ms |",
            (to - from) as f64 / 1_000.0,
            some.len(),
            hits(&some),
            percentile(&some, 50),
            percentile(&some, 99),
            percentile(&some, 100),
        );
    }
}

/// The share of hits among those answers of which it is known.
fn hits(answers: &[&Answered]) -> String {
    let known: Vec<_> = answers.iter().filter_map(|answer| answer.hit).collect();
    if known.is_empty() {
        return "-".to_owned();
    }
    let hits = known.iter().filter(|hit| **hit).count();
    format!("{:.1} %", hits as f64 * 100.0 / known.len() as f64)
}
