//! One answer out of those of the nodes.

mod answers;
mod page;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::Response;
use kamaitachi_layers::scatter::Merge;

use super::{
    head,
    question::{Named, Question},
};
use crate::{metrics::Scattered, stack::X_KAMAITACHI_NODE};
use answers::{ByDate, Newest, Period, Records};
use page::{Page, Row};

/// What comes before and after the data of an answer.
const OPEN: &str = r#"{"status_code":0,"status_msg":"success","data":"#;
const OPEN_RECORDS: &str = r#"{"code":200,"message":"success","data":{"rows":"#;

/// Merges the answers of the nodes that a question was split by.
///
/// Answers that do not fit together, such as those of a node that knows nothing of parts, are not merged.
#[derive(Debug)]
pub struct ByOwnerMerge {
    question: Question,
    /// For each subject in the order of the request the part that asks about it; only where that order counts.
    order: Vec<(Box<str>, usize)>,
    /// The owners of the parts' subjects, by the parts.
    owners: Vec<Arc<str>>,
    counts: Arc<Scattered>,
}

impl ByOwnerMerge {
    pub(super) fn new(question: Question, named: &Named<'_>, groups: &[Vec<usize>]) -> Self {
        let mut order = Vec::new();
        if question == Question::Period {
            let mut part_of = vec![0; named.names.len()];
            for (part, places) in groups.iter().enumerate() {
                places.iter().for_each(|place| part_of[*place] = part);
            }
            let names = named.names.iter().map(|name| Box::from(&**name));
            order = names.zip(part_of).collect();
        }
        Self { question, order, owners: Vec::new(), counts: Arc::default() }
    }

    /// Tells `counts` how many parts others than these have answered.
    pub(super) fn counting(self, owners: Vec<Arc<str>>, counts: Arc<Scattered>) -> Self {
        Self { owners, counts, ..self }
    }

    fn body(&self, texts: &[&str]) -> Option<String> {
        let room = texts.iter().map(|text| text.len()).sum();
        let mut out = String::with_capacity(room);
        match self.question {
            Question::Newest => newest(&mut out, texts)?,
            Question::Period => self.period(&mut out, texts)?,
            Question::ByDate => by_date(&mut out, texts)?,
            Question::Records => records(&mut out, texts)?,
        }
        out.push('}');
        Some(out)
    }

    fn period(&self, out: &mut String, texts: &[&str]) -> Option<()> {
        let answers: Vec<Period<'_>> = each(texts)?;
        fit(answers.iter().map(|answer| (answer.part.rows, answer.part.max_rows)))?;
        let mut rests = Vec::new();
        for Period { data, part } in &answers {
            (data.len() == part.subjects.len()).then_some(())?;
            rests.push(part.subjects.iter().zip(data).peekable());
        }
        out.push_str(OPEN);
        let in_order = self.order.iter().filter_map(|(name, part)| {
            // Those without rows are left out; of the others each part keeps the order.
            rests.get_mut(*part)?.next_if(|(subject, _)| *subject.0 == **name)
        });
        list(out, in_order.map(|(_, row)| row.get()));
        rests.iter_mut().all(|rest| rest.next().is_none()).then_some(())
    }
}

impl Merge for ByOwnerMerge {
    fn merge(self, answers: Vec<Response<Bytes>>) -> Option<Response<Bytes>> {
        let answered = answers.iter().map(|answer| answer.headers().get(&X_KAMAITACHI_NODE));
        let elsewhere = answered
            .zip(&self.owners)
            .filter(|(node, owner)| node.is_some_and(|node| node.as_bytes() != owner.as_bytes()));
        self.counts.count_elsewhere(elsewhere.count() as u64);
        let texts: Result<Vec<&str>, _> =
            answers.iter().map(|answer| std::str::from_utf8(answer.body())).collect();
        let merged = texts.ok().and_then(|texts| self.body(&texts));
        if merged.is_none() {
            let question = self.question;
            tracing::debug!(
                ?question,
                "answers of nodes do not fit together; one is asked for all"
            );
        }
        Some(Response::from_parts(head::merged(&answers)?, merged?.into()))
    }
}

fn each<'a, A: serde::Deserialize<'a>>(texts: &[&'a str]) -> Option<Vec<A>> {
    texts.iter().map(|text| serde_json::from_str(text).ok()).collect()
}

/// `Some` if one answer may hold the rows of all; of each the number and what it may be.
fn fit(parts: impl Iterator<Item = (usize, usize)>) -> Option<()> {
    let (rows, max) = parts.fold((0_usize, usize::MAX), |(all, least), (rows, max)| {
        (all.saturating_add(rows), least.min(max))
    });
    (rows <= max).then_some(())
}

fn newest(out: &mut String, texts: &[&str]) -> Option<()> {
    let answers: Vec<Newest<'_>> = each(texts)?;
    let page = Page::of_all(answers.iter().map(|Newest { part, .. }| Page {
        order: part.order,
        offset: part.offset,
        limit: part.limit,
    }))?;
    let mut rows = Vec::new();
    for Newest { data, part } in &answers {
        page::add(&mut rows, data, &part.subjects, part.values.as_deref())?;
    }
    out.push_str(OPEN);
    list(out, page.cut(rows));
    Some(())
}

fn by_date(out: &mut String, texts: &[&str]) -> Option<()> {
    let answers: Vec<ByDate<'_>> = each(texts)?;
    let page = Page::of_all(answers.iter().map(|ByDate { part, .. }| Page {
        order: part.order,
        offset: part.offset,
        limit: part.limit,
    }))?;
    fit(answers.iter().map(|answer| (answer.part.rows, answer.part.max_rows)))?;
    let mut dates: BTreeMap<&str, Vec<Row<'_>>> = BTreeMap::new();
    for ByDate { data, part } in &answers {
        (data.0.len() == part.subjects.len()).then_some(())?;
        for (at, (date, rows)) in data.0.iter().enumerate() {
            let values = match &part.values {
                Some(values) => Some(&**values.get(at)?),
                None => None,
            };
            page::add(dates.entry(date).or_default(), rows, &part.subjects[at], values)?;
        }
    }
    out.push_str(OPEN);
    out.push('{');
    for (date, rows) in dates {
        out.push('"');
        out.push_str(date);
        out.push_str("\":");
        list(out, page.cut(rows));
        out.push(',');
    }
    end(out, '}');
    Some(())
}

fn records(out: &mut String, texts: &[&str]) -> Option<()> {
    let answers: Vec<Records<'_>> = each(texts)?;
    // Records are in the order of their ids.
    let page = Page::of_all(answers.iter().map(|Records { part, .. }| Page {
        order: 1,
        offset: part.offset,
        limit: part.limit,
    }))?;
    let mut rows = Vec::new();
    for Records { data, part } in &answers {
        page::add(&mut rows, &data.rows, &part.subjects, None)?;
    }
    out.push_str(OPEN_RECORDS);
    list(out, page.cut(rows));
    let count: u64 = answers.iter().map(|answer| answer.data.count).sum();
    out.push_str(&format!(r#","count":{count}}}"#));
    Some(())
}

fn list<'a>(out: &mut String, rows: impl Iterator<Item = &'a str>) {
    out.push('[');
    for row in rows {
        out.push_str(row);
        out.push(',');
    }
    end(out, ']');
}

/// Ends a list or an object, whose last item may have left a comma.
fn end(out: &mut String, mark: char) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push(mark);
}
