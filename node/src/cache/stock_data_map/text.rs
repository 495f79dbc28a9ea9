//! What a subject and its rows say of themselves, as the JSON that answers copy.

use crate::model::{RowInfo, SubjectInfo};

use super::{Facts, Row};

/// What stands before the subject's name in its head.
const BEFORE: &[u8] = br#"{"subject":{"subject":""#;

/// `{"subject":{…},"data":`, or nothing for a subject that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    json: Box<[u8]>,
    subject_end: usize,
}

impl Head {
    pub(super) fn new(subject: &str, info: &SubjectInfo) -> Self {
        let mut json = Vec::with_capacity(160);
        json.extend_from_slice(BEFORE);
        escape(&mut json, subject);
        let subject_end = json.len();
        let fields = [
            (r#"","name":""#, info.name.as_deref().unwrap_or(subject)),
            (r#"","status":""#, info.status.as_deref().unwrap_or("213001")),
            (r#"","listing_date":""#, info.listing_date.as_deref().unwrap_or("")),
            (r#"","category":""#, info.category.as_deref().unwrap_or("stock")),
        ];
        for (key, value) in fields {
            json.extend_from_slice(key.as_bytes());
            escape(&mut json, value);
        }
        json.extend_from_slice(br#""},"data":"#);
        Self { json: json.into(), subject_end }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.json
    }

    pub(super) fn subject(&self) -> &[u8] {
        self.json.get(BEFORE.len()..self.subject_end).unwrap_or_default()
    }
}

/// The text of all rows, in the making.
#[derive(Debug, Default)]
pub(super) struct RowText {
    pub(super) text: Vec<u8>,
}

impl RowText {
    /// Adds a row as the store gave it.
    pub(super) fn push(&mut self, report_date: i64, info: &RowInfo) -> Row {
        let end_date = self.add(|text| escape(text, &info.end_date));
        let period = self.add(|text| escape(text, &info.period));
        let declare_date = self.add(|text| match &info.declare_date {
            None => text.extend_from_slice(b"null"),
            Some(day) => {
                text.push(b'"');
                escape(text, day);
                text.push(b'"');
            }
        });
        let year = self.add(|text| escape(text, &info.year));
        Row { report_date, end_date, period, declare_date, year }
    }

    /// Adds a row of another map.
    pub(super) fn copy(&mut self, report_date: i64, facts: Facts<'_>) -> Row {
        let end_date = self.add(|text| text.extend_from_slice(facts.end_date));
        let period = self.add(|text| text.extend_from_slice(facts.period));
        let declare_date = self.add(|text| text.extend_from_slice(facts.declare_date));
        let year = self.add(|text| text.extend_from_slice(facts.year));
        Row { report_date, end_date, period, declare_date, year }
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        write(&mut self.text);
        u32::try_from(self.text.len()).expect("the facts of one subject's rows stay below 4 GiB")
    }
}

/// Writes the inside of a JSON string.
pub(crate) fn escape(into: &mut Vec<u8>, text: &str) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        into.extend_from_slice(&text.as_bytes()[done..at]);
        done = at + 1;
        if short == 0 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            into.extend_from_slice(br"\u00");
            into.extend_from_slice(&digits);
        } else {
            into.extend_from_slice(&[b'\\', short]);
        }
    }
    into.extend_from_slice(&text.as_bytes()[done..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_json_cannot_hold_and_nothing_else() {
        let nasty: String = (0..300_u32).filter_map(char::from_u32).chain("…😀".chars()).collect();
        let mut json = vec![b'"'];
        escape(&mut json, &nasty);
        json.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), nasty);
        assert_eq!(json, serde_json::to_vec(&nasty).unwrap().as_slice().to_vec().replace_short());
    }

    /// `serde_json` writes `\b` and `\f` where this writes `\u0008` and `\u000c`.
    trait ReplaceShort {
        fn replace_short(self) -> Vec<u8>;
    }

    impl ReplaceShort for Vec<u8> {
        fn replace_short(self) -> Vec<u8> {
            let text = String::from_utf8(self).unwrap();
            text.replace("\\b", "\\u0008").replace("\\f", "\\u000c").into_bytes()
        }
    }
}
