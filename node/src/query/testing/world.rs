//! A naive store for tests: everything in maps, every answer computed the slow, plain way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use crate::{
    model::{Epoch, IndicatorId, Revision, RowInfo, Subject, SubjectInfo},
    query::{Order, Page, PeriodQuery, Scope, SnapshotQuery, SortField},
    store::{Found, FoundRow, Need, Rows},
};

/// One row: what it says of itself and its values.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) info: RowInfo,
    pub(crate) values: BTreeMap<IndicatorId, f64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Stock {
    pub(crate) info: SubjectInfo,
    pub(crate) rows: BTreeMap<Epoch, Line>,
}

/// All there is at one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) revision: Revision,
    pub(crate) stocks: BTreeMap<String, Stock>,
    pub(crate) topics: BTreeMap<String, BTreeSet<String>>,
    /// By what they speak of: subject and keyword.
    pub(crate) tags: BTreeMap<String, BTreeSet<(String, String)>>,
}

/// The facts a row has when nobody says otherwise: seconds are days here, years have ten.
pub(crate) fn facts(date: Epoch) -> RowInfo {
    RowInfo {
        end_date: format!("{:04}-01-{:02}", 2000 + date / 10, date.rem_euclid(10)).into(),
        period: format!("59600{}", date.rem_euclid(4) + 1).into(),
        declare_date: (date % 3 == 0).then(|| format!("d\"{date}").into()),
        year: format!("{:04}", 2000 + date / 10).into(),
    }
}

impl World {
    pub(crate) fn put(&mut self, subject: &str, date: Epoch, values: &[(u16, Option<f64>)]) {
        let stock = self.stocks.entry(subject.into()).or_default();
        let line = stock
            .rows
            .entry(date)
            .or_insert_with(|| Line { info: facts(date), values: BTreeMap::new() });
        for (id, value) in values {
            match value {
                Some(value) => line.values.insert(IndicatorId(*id), *value),
                None => line.values.remove(&IndicatorId(*id)),
            };
        }
    }

    pub(crate) fn answer(&self, need: &Need) -> Found {
        let Some(stock) = self.stocks.get(&*need.subject) else { return Found::default() };
        let row = |(date, line): (&Epoch, &Line)| FoundRow {
            report_date: *date,
            info: line.info.clone(),
            values: need.indicators.iter().map(|id| line.values.get(id).copied()).collect(),
        };
        let rows = match need.rows {
            Rows::Between { from, to } => stock.rows.range(from..=to).map(row).collect(),
            Rows::Newest { not_before, at } => {
                stock.rows.range(not_before..=at).next_back().map(row).into_iter().collect()
            }
        };
        Found { subject: Some(stock.info.clone()), rows }
    }

    pub(crate) fn members(&self, topic: &str) -> Vec<Subject> {
        self.topics.get(topic).into_iter().flatten().map(|s| Arc::from(&**s)).collect()
    }

    pub(crate) fn tagged(&self, topic: &str, id: &str, keyword: &str) -> Vec<Subject> {
        let keyword = keyword.to_lowercase();
        let tags = self.tags.get(id);
        let has = |s: &str| {
            tags.is_some_and(|t| {
                t.iter().any(|(of, k)| of == s && k.to_lowercase().contains(&keyword))
            })
        };
        self.members(topic).into_iter().filter(|s| has(s)).collect()
    }

    pub(crate) fn scope(&self, scope: &Scope) -> Vec<String> {
        let own = |all: Vec<Subject>| all.iter().map(ToString::to_string).collect();
        match scope {
            Scope::Subjects(list) => list.iter().map(Into::into).collect(),
            Scope::Topic(topic) => own(self.members(topic)),
            Scope::TopicAnd(topic, list) => {
                let members = self.topics.get(topic).cloned().unwrap_or_default();
                list.iter().filter(|s| members.contains(*s)).map(Into::into).collect()
            }
            Scope::Selection(one) => {
                let mut all: Vec<String> = own(self.tagged(&one.topic, &one.id, &one.keyword));
                all.retain(|s| one.subjects.as_ref().is_none_or(|list| list.has(s)));
                all
            }
        }
    }

    fn subject(&self, subject: &str) -> Value {
        let info = &self.stocks[subject].info;
        let or =
            |value: &Option<Arc<str>>, other: &str| value.as_deref().unwrap_or(other).to_owned();
        json!({
            "subject": subject,
            "name": or(&info.name, subject),
            "status": or(&info.status, "213001"),
            "listing_date": or(&info.listing_date, ""),
            "category": or(&info.category, "stock"),
        })
    }

    fn period_row(subject: &str, line: &Line, names: &[(IndicatorId, String)]) -> Value {
        let RowInfo { end_date, period, declare_date, year } = &line.info;
        let mut row = Map::new();
        row.insert("end_date".into(), json!(end_date));
        row.insert("period".into(), json!(period));
        row.insert("declare_date".into(), json!(declare_date));
        row.insert("year".into(), json!(year));
        row.insert("combine".into(), json!(format!("{subject}:{year}_{period}")));
        for (id, name) in names {
            row.insert(name.clone(), json!(line.values.get(id)));
        }
        Value::Object(row)
    }

    pub(crate) fn snapshot(&self, query: &SnapshotQuery, names: &[(IndicatorId, String)]) -> Value {
        let mut rows: Vec<(String, Epoch, &Line)> = Vec::new();
        for subject in self.scope(&query.scope) {
            let Some(stock) = self.stocks.get(&subject) else { continue };
            let newest = stock.rows.range(..=query.at.unwrap_or(Epoch::MAX)).next_back();
            rows.extend(newest.map(|(date, line)| (subject, *date, line)));
        }
        page(&mut rows, query.page);
        let item = |(subject, _, line): &(String, Epoch, &Line)| {
            let known = names.iter().filter_map(|(id, name)| {
                line.values.get(id).map(|value| (name.clone(), json!(value)))
            });
            json!({ "subject": self.subject(subject), "data": known.collect::<Map<_, _>>() })
        };
        rows.iter().map(item).collect()
    }

    pub(crate) fn period(&self, query: &PeriodQuery, names: &[(IndicatorId, String)]) -> Value {
        let mut all = Vec::new();
        for subject in self.scope(&query.scope) {
            let Some(stock) = self.stocks.get(&subject) else { continue };
            let rows: Vec<Value> = stock
                .rows
                .range(query.from..=query.to)
                .rev()
                .map(|(_, line)| Self::period_row(&subject, line, names))
                .collect();
            if !rows.is_empty() {
                all.push(json!({ "subject": self.subject(&subject), "data": rows }));
            }
        }
        Value::Array(all)
    }

    pub(crate) fn selection_period(
        &self,
        query: &PeriodQuery,
        by: Page,
        names: &[(IndicatorId, String)],
    ) -> Value {
        let mut dates: BTreeMap<String, Vec<(String, Epoch, &Line)>> = BTreeMap::new();
        for subject in self.scope(&query.scope) {
            let Some(stock) = self.stocks.get(&subject) else { continue };
            for (date, line) in stock.rows.range(query.from..=query.to) {
                let day = dates.entry(line.info.end_date.to_string()).or_default();
                day.push((subject.clone(), *date, line));
            }
        }
        let day = |(end_date, mut rows): (String, Vec<(String, Epoch, &Line)>)| {
            page(&mut rows, by);
            let rows = rows.iter().map(|(subject, _, line)| {
                let data = Self::period_row(subject, line, names);
                json!({ "subject": self.subject(subject), "data": data })
            });
            (end_date, rows.collect::<Value>())
        };
        Value::Object(dates.into_iter().map(day).collect())
    }
}

/// Sorts by the rules of the contract, one after the other, and cuts the page out.
fn page(rows: &mut Vec<(String, Epoch, &Line)>, page: Page) {
    rows.sort_by(|(s1, d1, a), (s2, d2, b)| {
        let ordered = |o: std::cmp::Ordering| match page.order {
            Order::Ascending => o,
            Order::Descending => o.reverse(),
        };
        let first = match page.field {
            SortField::Indicator(id) => match (a.values.get(&id), b.values.get(&id)) {
                (Some(a), Some(b)) => ordered(a.partial_cmp(b).unwrap()),
                (a, b) => a.is_none().cmp(&b.is_none()),
            },
            SortField::ReportDate => ordered(d1.cmp(d2)),
            SortField::EndDate => ordered(a.info.end_date.cmp(&b.info.end_date)),
            SortField::Year => ordered(a.info.year.cmp(&b.info.year)),
            SortField::Subject => ordered(s1.cmp(s2)),
        };
        first.then_with(|| s1.cmp(s2)).then_with(|| d2.cmp(d1))
    });
    *rows = std::mem::take(rows).into_iter().skip(page.offset).take(page.limit).collect();
}
