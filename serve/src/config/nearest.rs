//! "Did you mean": the known word nearest to a misspelt one.

/// The word of `known` that `word` was most likely meant to be; `None` where nothing is close.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_slips_of_the_keyboard_and_nothing_far_fetched() {
        let known = ["host", "port", "mode", "service_name", "max_bytes"];
        assert_eq!(nearest("prot", &known), Some("port"));
        assert_eq!(nearest("hots", &known), Some("host"));
        assert_eq!(nearest("maxbytes", &known), Some("max_bytes"));
        assert_eq!(nearest("servicename", &known), Some("service_name"));
        assert_eq!(nearest("zzz", &known), None);
    }
}
