//! A question, how it is put to a node, and what the answer should be.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    INDICATORS, QUARTERS, TOPICS, date,
    sql::{Row, Truth},
    subject,
};
use crate::support::{PERIOD, SELECT_PERIOD, SELECT_SNAPSHOT, SNAPSHOT};

#[derive(Clone, Debug)]
pub(super) struct Question {
    ids: Vec<&'static str>,
    subjects: Vec<u8>,
    topic: Option<usize>,
    keyword: Option<&'static str>,
    time: Time,
    field: &'static str,
    ascending: bool,
    offset: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum Time {
    Newest,
    At(i64),
    Between(i64, i64),
}

pub(super) fn question() -> impl Strategy<Value = Question> {
    let ids = proptest::sample::subsequence(&INDICATORS[..], 1..=4);
    let subjects = proptest::collection::vec(0_u8..16, 0..6);
    let topic = proptest::option::of(0_usize..2);
    let keyword = proptest::option::weighted(
        0.25,
        proptest::sample::select(vec!["", "BANK", "steel", "xyz"]),
    );
    let quarter = -1..=QUARTERS;
    let time = prop_oneof![
        Just(Time::Newest),
        (quarter.clone(), -1..2_i64).prop_map(|(quarter, off)| Time::At(date(quarter) + off)),
        (quarter.clone(), quarter).prop_map(|(a, b)| Time::Between(date(a.min(b)), date(a.max(b)))),
    ];
    let fields = ["report_date", "end_date", "year", "subject"];
    let fields: Vec<&'static str> = INDICATORS.into_iter().chain(fields).collect();
    let page = (proptest::sample::select(fields), any::<bool>(), 0_usize..3, 1_usize..9);
    (ids, subjects, topic, keyword, time, page).prop_map(
        |(ids, subjects, topic, keyword, time, (field, ascending, offset, limit))| Question {
            topic: topic.or((subjects.is_empty() || keyword.is_some()).then_some(0)),
            ids,
            subjects,
            keyword,
            time,
            field,
            ascending,
            offset,
            limit,
        },
    )
}

impl Question {
    pub(super) fn path(&self) -> &'static str {
        match (self.keyword.is_some(), self.time) {
            (false, Time::Between(..)) => PERIOD,
            (false, _) => SNAPSHOT,
            (true, Time::Between(..)) => SELECT_PERIOD,
            (true, _) => SELECT_SNAPSHOT,
        }
    }

    pub(super) fn body(&self) -> Value {
        let subjects: Vec<_> = self.subjects.iter().map(|n| subject(*n)).collect();
        let mut body = json!({"ids": self.ids, "field": self.field, "offset": self.offset,
                              "limit": self.limit, "order": if self.ascending { 1 } else { -1 }});
        let topic = self.topic.map(|n| TOPICS[n]);
        if let Some(keyword) = self.keyword {
            body["selection"] = json!({"id": "concept", "topic": topic, "keyword": keyword, "subject": subjects.join(",")});
        } else {
            body["subjects"] = json!(subjects);
            body["topic"] = json!(topic);
        }
        match self.time {
            Time::Newest => {}
            Time::At(at) => body["timestamp"] = json!(at),
            Time::Between(from, to) => {
                body["from"] = json!(from);
                body["to"] = json!(to);
            }
        }
        body
    }

    /// The subjects meant, in the order of the answer of a period.
    fn scope(&self, truth: &Truth) -> Vec<String> {
        let mut listed = Vec::new();
        for n in &self.subjects {
            if !listed.contains(&subject(*n)) {
                listed.push(subject(*n));
            }
        }
        let Some(topic) = self.topic else { return listed };
        let member = |subject: &String| {
            truth.facts.get(subject).is_some_and(|facts| facts.topic == TOPICS[topic])
        };
        let tagged = |subject: &String| {
            self.keyword.is_none_or(|keyword| {
                truth.tags.iter().any(|(tagged, word)| {
                    tagged == subject && word.to_lowercase().contains(&keyword.to_lowercase())
                })
            })
        };
        if listed.is_empty() || self.keyword.is_some() {
            let all =
                truth.facts.keys().filter(|subject| listed.is_empty() || listed.contains(subject));
            return all.filter(|subject| member(subject) && tagged(subject)).cloned().collect();
        }
        listed.retain(|subject| member(subject));
        listed
    }

    pub(super) fn answer(&self, truth: &Truth) -> Value {
        let scope = self.scope(truth);
        match self.time {
            Time::Newest => self.newest(truth, &scope, i64::MAX),
            Time::At(at) => self.newest(truth, &scope, at),
            Time::Between(from, to) if self.keyword.is_none() => {
                let item = |subject: &String| {
                    let rows: Vec<_> =
                        truth.rows_of(subject, from, to).rev().map(|row| self.dated(row)).collect();
                    (!rows.is_empty()).then(
                        || json!({"subject": truth.facts[subject].json(subject), "data": rows}),
                    )
                };
                scope.iter().filter_map(item).collect()
            }
            Time::Between(from, to) => {
                let mut dates: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
                for row in scope.iter().flat_map(|subject| truth.rows_of(subject, from, to)) {
                    dates.entry(&row.end_date).or_default().push(row);
                }
                let mut object = Map::new();
                for (date, rows) in dates {
                    let page: Vec<_> = self
                        .page(rows)
                        .map(|row| json!({"subject": truth.facts[&row.subject].json(&row.subject), "data": self.dated(row)}))
                        .collect();
                    object.insert(date.to_owned(), json!(page));
                }
                Value::Object(object)
            }
        }
    }

    fn newest(&self, truth: &Truth, scope: &[String], at: i64) -> Value {
        let rows =
            scope.iter().filter_map(|subject| truth.rows_of(subject, i64::MIN, at).next_back());
        let item = |row: &Row| {
            let mut data = Map::new();
            for id in &self.ids {
                if let Some(value) = row.values[*id] {
                    data.insert((*id).to_owned(), json!(value));
                }
            }
            json!({"subject": truth.facts[&row.subject].json(&row.subject), "data": data})
        };
        self.page(rows.collect()).map(item).collect()
    }

    fn page<'r>(&self, mut rows: Vec<&'r Row>) -> impl Iterator<Item = &'r Row> {
        rows.sort_by(|a, b| {
            let flip =
                |order: std::cmp::Ordering| if self.ascending { order } else { order.reverse() };
            let order = match self.field {
                "report_date" => flip(a.date.cmp(&b.date)),
                "end_date" => flip(a.end_date.cmp(&b.end_date)),
                "year" => flip(a.year.cmp(&b.year)),
                "subject" => flip(a.subject.cmp(&b.subject)),
                field => match (a.values[field], b.values[field]) {
                    (Some(a), Some(b)) => flip(a.partial_cmp(&b).unwrap()),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                },
            };
            // Rows of one subject can share a date that was written into them: the newer comes first.
            order.then_with(|| a.subject.cmp(&b.subject)).then_with(|| b.date.cmp(&a.date))
        });
        rows.into_iter().skip(self.offset).take(self.limit)
    }

    fn dated(&self, row: &Row) -> Value {
        let mut data = json!({"end_date": row.end_date, "period": row.period, "declare_date": row.declare_date,
            "year": row.year, "combine": format!("{}:{}_{}", row.subject, row.year, row.period)});
        for id in &self.ids {
            data[*id] = json!(row.values[*id]);
        }
        data
    }
}
