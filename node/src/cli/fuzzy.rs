//! Keys that look like what was typed.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{AtomKind, CaseMatching, Normalization, Pattern},
};

/// The best matches of `typed` among `keys`, best first, `limit` at the most. What is equally good stays in order; with
/// nothing typed the first ones come.
#[must_use]
pub(super) fn best<'a>(typed: &str, keys: &'a [String], limit: usize) -> Vec<&'a String> {
    let mut matcher = Matcher::new(Config::DEFAULT.match_paths());
    let pattern = Pattern::new(typed, CaseMatching::Smart, Normalization::Smart, AtomKind::Fuzzy);
    let mut buffer = Vec::new();
    let score = |key: &'a String| {
        let score = pattern.score(Utf32Str::new(key, &mut buffer), &mut matcher)?;
        Some((score, key))
    };
    let mut found: Vec<_> = keys.iter().filter_map(score).collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().take(limit).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_are_enough_and_the_closest_comes_first() {
        let keys = ["17:600606", "33:000001", "33:00000010", "33:300033", "config/limits"]
            .map(str::to_owned);
        assert_eq!(best("3301", &keys, 1), ["33:000001"]);
        assert_eq!(best("lim", &keys, 3), ["config/limits"]);
        assert_eq!(best("", &keys, 2), ["17:600606", "33:000001"]);
        assert!(best("zzz", &keys, 3).is_empty());
    }
}
