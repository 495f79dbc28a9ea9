//! Rows as lines of JSON.

use std::{borrow::Cow, fmt, io::BufRead};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{
    BadRows, RowBatch, RowFacts, RowWrite,
    check::{self, TEXTS},
    scalar::ScalarSeed,
};
use crate::{model::IndicatorId, store::intern::Interner};

#[derive(Debug)]
pub(super) struct NdjsonRows<R> {
    text: R,
    line: u64,
    buffer: Vec<u8>,
    texts: Interner,
}

impl<R: BufRead> NdjsonRows<R> {
    pub(super) fn new(text: R) -> Self {
        Self { text, line: 0, buffer: Vec::new(), texts: Interner::default() }
    }

    pub(super) fn fill(&mut self, batch: &mut RowBatch, most: usize) -> Result<(), BadRows> {
        let mut seen = Vec::new();
        while batch.len() < most {
            self.buffer.clear();
            if self.text.read_until(b'\n', &mut self.buffer)? == 0 {
                break;
            }
            self.line += 1;
            let json = self.buffer.trim_ascii_end();
            if json.is_empty() {
                continue;
            }
            let mut json = serde_json::Deserializer::from_slice(json);
            let (texts, line) = (&mut self.texts, self.line);
            let row = Line { batch, texts, seen: &mut seen, line };
            let row = row.deserialize(&mut json).and_then(|row| json.end().map(|()| row));
            batch.push(row.map_err(|error| BadRows::line(line, reason(&error)))?);
        }
        Ok(())
    }
}

/// What serde says, with the column alone: the line is always its first.
fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    while let Some((start, tail)) = text.split_once(" at line 1 column ") {
        text = format!("{start}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    if error.is_data() { text } else { format!("{text} (column {})", error.column()) }
}

/// Reads one line into a row.
struct Line<'a> {
    batch: &'a mut RowBatch,
    texts: &'a mut Interner,
    /// For each indicator the last line that named it.
    seen: &'a mut Vec<u64>,
    line: u64,
}

impl<'de> DeserializeSeed<'de> for Line<'_> {
    type Value = RowWrite;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RowWrite, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Line<'_> {
    type Value = RowWrite;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with subject, report_date and data")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<RowWrite, A::Error> {
        let (mut subject, mut report_date, mut values) = (None, None, None);
        let (mut facts, mut named) = (RowFacts::default(), [false; TEXTS.len()]);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let repeated = match &*key {
                "subject" => {
                    let text = map.next_value_seed(ScalarSeed("subject"))?;
                    let text = text.text("subject").and_then(|t| check::subject(t, self.texts));
                    subject.replace(text.map_err(A::Error::custom)?).is_some()
                }
                "report_date" => {
                    let at = map.next_value_seed(ScalarSeed("report_date"))?;
                    let at = at.integer("report_date").and_then(check::report_date);
                    report_date.replace(at.map_err(A::Error::custom)?).is_some()
                }
                "data" => values.replace(map.next_value_seed(self.data())?).is_some(),
                key => {
                    let n = TEXTS.iter().position(|text| *text == key);
                    let n = n.ok_or_else(|| unknown(key))?;
                    let text = map.next_value_seed(ScalarSeed(key))?;
                    let text = text.text(key).and_then(|t| check::text(key, t, self.texts));
                    *facts.text_mut(n) = text.map_err(A::Error::custom)?;
                    std::mem::replace(&mut named[n], true)
                }
            };
            if repeated {
                return Err(A::Error::custom(format!("{key}: named twice")));
            }
        }
        let missing = |field| A::Error::custom(format!("{field}: missing"));
        Ok(RowWrite {
            subject: subject.ok_or_else(|| missing("subject"))?,
            report_date: report_date.ok_or_else(|| missing("report_date"))?,
            facts: (facts != RowFacts::default()).then(|| Box::new(facts)),
            values: values.unwrap_or_default(),
        })
    }
}

fn unknown<E: Error>(key: &str) -> E {
    let known = TEXTS.join(", ");
    let key = check::shown(key);
    E::custom(format!("unknown field {key}, expected subject, report_date, data, {known}"))
}

impl Line<'_> {
    fn data(&mut self) -> Data<'_> {
        Data { batch: self.batch, seen: self.seen, line: self.line }
    }
}

/// Reads the object of indicators.
struct Data<'a> {
    batch: &'a mut RowBatch,
    seen: &'a mut Vec<u64>,
    line: u64,
}

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = Box<[(IndicatorId, Option<f64>)]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = Box<[(IndicatorId, Option<f64>)]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of indicators")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::with_capacity(self.batch.indicators.len().min(64));
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let id = self.batch.indicator(&name, self.line);
            let id = id.ok_or_else(|| A::Error::custom("more indicators than a store can hold"))?;
            if self.seen.len() <= usize::from(id.0) {
                self.seen.resize(usize::from(id.0) + 1, 0);
            }
            if std::mem::replace(&mut self.seen[usize::from(id.0)], self.line) == self.line {
                return Err(A::Error::custom(format!("{}: named twice", check::shown(&name))));
            }
            let value = map.next_value_seed(ScalarSeed(&name))?.number(&name);
            values.push((id, value.map_err(A::Error::custom)?));
        }
        Ok(values.into())
    }
}
