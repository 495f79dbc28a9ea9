//! Upserts against a model that a reader can check with the eye.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::{Totals, check};

const INDICATORS: [&str; 3] = ["operating_income", "parent_holder_net_profit", "net_profit"];

/// One row to be written.
#[derive(Clone, Debug)]
struct Line {
    subject: u8,
    at: Epoch,
    /// Absent, null, or a number.
    values: [Option<Option<f64>>; 3],
    name: Option<u8>,
    topic: Option<u8>,
    period: Option<u8>,
}

fn line() -> impl Strategy<Value = Line> {
    let value = prop::option::of(prop::option::of(-1e12..1e12_f64));
    let values = [value.clone(), value.clone(), value];
    let text = || prop::option::weighted(0.2, 0..3_u8);
    (0..4_u8, 0..6_i64, values, text(), text(), text()).prop_map(
        |(subject, at, values, name, topic, period)| {
            // Dates of four quarters, so that derived periods differ.
            Line { subject, at: at * 8_000_000, values, name, topic, period }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Line>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let lines = prop::collection::vec(line(), 0..8).prop_map(Step::Write);
    prop_oneof![6 => lines, 1 => Just(Step::Reopen)]
}

/// Rows with values and period.
type Series = BTreeMap<Epoch, ([Option<f64>; 3], Option<u8>)>;

/// The rows of each subject, and its name and topic.
#[derive(Debug, Default)]
struct Model {
    rows: BTreeMap<String, Series>,
    facts: BTreeMap<String, (Option<u8>, Option<u8>)>,
}

impl Model {
    fn write(&mut self, line: &Line) {
        let subject = format!("33:{}", line.subject);
        let row = self.rows.entry(subject.clone()).or_default().entry(line.at).or_default();
        for (stored, new) in row.0.iter_mut().zip(line.values) {
            *stored = new.unwrap_or(*stored);
        }
        row.1 = line.period.or(row.1);
        let facts = self.facts.entry(subject).or_default();
        *facts = (line.name.or(facts.0), line.topic.or(facts.1));
    }
}

fn batch(lines: &[Line]) -> RowBatch {
    let mut batch = RowBatch::default();
    for line in lines {
        let values: Vec<_> = INDICATORS
            .iter()
            .zip(line.values)
            .filter_map(|(name, value)| Some((*name, value?)))
            .collect();
        let facts = RowFacts {
            name: line.name.map(|n| format!("name {n}").into()),
            topic: line.topic.map(|n| format!("topic {n}").into()),
            period: line.period.map(|n| format!("{n}").into()),
            ..RowFacts::default()
        };
        batch.add(&format!("33:{}", line.subject), line.at, &values, facts);
    }
    batch
}

async fn compare(store: &Store, model: &Model) {
    let records = model.rows.values().map(|rows| rows.len() as u64).sum();
    let subjects = model.rows.len() as u64;
    assert_eq!(store.totals(), Totals { records, subjects });
    let mut topics: BTreeMap<String, Vec<Subject>> = BTreeMap::new();
    for n in 0..4 {
        let subject = format!("33:{n}");
        let found = all(store, &subject).await;
        let Some(rows) = model.rows.get(&subject) else {
            assert_eq!(found, Found::default());
            continue;
        };
        let (name, topic) = model.facts[&subject];
        let info = found.subject.unwrap();
        assert_eq!(info.name.as_deref(), name.map(|n| format!("name {n}")).as_deref());
        let topic = topic.map_or("stock_a_listing_pool".into(), |n| format!("topic {n}"));
        topics.entry(topic).or_default().push(subject.into());
        assert_eq!(found.rows.len(), rows.len());
        for (row, (at, (values, period))) in found.rows.iter().zip(rows) {
            assert_eq!((row.report_date, &row.values[..]), (*at, &values[..]));
            let derived = ["596001", "596002", "596003", "596004"]
                [usize::try_from(at / 8_000_000 % 4).unwrap()];
            let period = period.map_or(derived.to_owned(), |n| n.to_string());
            assert_eq!(*row.info.period, period, "{at}");
        }
    }
    for topic in ["stock_a_listing_pool", "topic 0", "topic 1", "topic 2"] {
        let members = store.topic_members(topic).await.unwrap().1;
        assert_eq!(members, topics.remove(topic).unwrap_or_default(), "{topic}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_sequence_of_writes_reads_as_the_model_says(steps in prop::collection::vec(step(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut fixture, mut model, mut revision) = (Fixture::new().await, Model::default(), 1);
            let names = INDICATORS.iter().map(ToString::to_string).collect();
            fixture.store.register_indicators(names).await.unwrap();
            for step in steps {
                match step {
                    Step::Reopen => fixture = fixture.reopen().await,
                    Step::Write(lines) => {
                        revision += 1;
                        lines.iter().for_each(|line| model.write(line));
                        let written = fixture.store.ingest(batch(&lines), false).await.unwrap();
                        assert_eq!((written.revision, written.value), (revision, lines.len()));
                    }
                }
                compare(&fixture.store, &model).await;
            }
            fixture.store.close().await;
            let report = check(&fixture.path()).unwrap();
            assert!(report.findings.is_empty(), "{report}");
        });
    }
}
