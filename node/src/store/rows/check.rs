//! What a field of a row may hold.

use std::{borrow::Cow, sync::Arc};

use crate::{model::Epoch, store::intern::Interner};

/// Longest subject, in bytes.
const LONGEST_SUBJECT: usize = 128;
/// Longest text, in bytes.
const LONGEST_TEXT: usize = 1_024;
/// The years 0001 to 9999.
const DATES: std::ops::RangeInclusive<Epoch> = -62_135_596_800..=253_402_300_799;

/// The texts a row may name, as they are called in requests.
pub(super) const TEXTS: [&str; 9] = [
    "name",
    "end_date",
    "year",
    "period",
    "declare_date",
    "category",
    "topic",
    "status",
    "listing_date",
];

/// Whether `subject` has the form `market:code`.
///
/// # Errors
/// What was expected instead.
pub fn check_subject(subject: &str) -> Result<(), &'static str> {
    let fits = |part: &str| {
        !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != ',')
    };
    match subject.split_once(':') {
        _ if subject.len() > LONGEST_SUBJECT => Err("expected market:code, at most 128 bytes"),
        Some((market, code)) if fits(market) && fits(code) => Ok(()),
        _ => Err("expected market:code, such as 33:000001"),
    }
}

/// The shared form of a subject.
pub(super) fn subject(text: &str, texts: &mut Interner) -> Result<Arc<str>, String> {
    let text = text.trim();
    match check_subject(text) {
        Ok(()) => Ok(texts.get(text)),
        Err(expected) => Err(format!("subject: {expected}, got {}", shown(text))),
    }
}

/// A date that can be written in four digits of a year.
pub(super) fn report_date(at: Epoch) -> Result<Epoch, String> {
    if DATES.contains(&at) {
        return Ok(at);
    }
    Err(format!("report_date: expected epoch seconds of the years 0001 to 9999, got {at}"))
}

/// The shared form of a text; `None` where it is empty.
pub(super) fn text(
    field: &str,
    text: &str,
    texts: &mut Interner,
) -> Result<Option<Arc<str>>, String> {
    let text = text.trim();
    if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        return Err(format!(
            "{field}: expected at most {LONGEST_TEXT} bytes without control characters"
        ));
    }
    Ok((!text.is_empty()).then(|| texts.get(text)))
}

/// A value as an error message shows it: quoted, and not the whole of a long one.
pub(super) fn shown(value: &str) -> String {
    let cut = match value.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}…", &value[..end])),
        None => Cow::Borrowed(value),
    };
    format!("{cut:?}")
}
