//! Cached answers: time and allocations from the typed query to the finished body.
//!
//! `cargo bench -p kamaitachi-node --bench query`

use std::{
    alloc::System,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use divan::{AllocProfiler, Bencher, black_box};
use futures_util::FutureExt;
use kamaitachi_node::{
    cache::{CacheLimits, lru::Lru},
    model::{Indicators, Revision, RowInfo, Subject, SubjectInfo},
    query::{
        Engine, IndicatorList, Order, Page, PeriodQuery, Scope, SnapshotQuery, SortField, Source,
        SubjectList,
    },
    store::{Found, FoundRow, Need, Rows, StoreError},
};

#[global_allocator]
static ALLOC: AllocProfiler<System> = AllocProfiler::system();

fn main() {
    divan::main();
}

const SUBJECTS: usize = 10_000;
const QUARTERS: i64 = 40;
const QUARTER: i64 = 7_889_238;

/// Every subject has forty quarters of six indicators, made up from their numbers.
struct Figures;

impl Figures {
    fn answer(need: &Need) -> Found {
        let row = |quarter: i64| FoundRow {
            report_date: quarter * QUARTER,
            info: RowInfo {
                end_date: "2020-12-31".into(),
                period: "596004".into(),
                declare_date: None,
                year: "2020".into(),
            },
            values: need
                .indicators
                .iter()
                .map(|id| Some((quarter * 7919 + i64::from(id.0)) as f64 * 1_234.567_8))
                .collect(),
        };
        let rows = match need.rows {
            Rows::Between { from, to } => (0..QUARTERS)
                .filter(|quarter| (from..=to).contains(&(quarter * QUARTER)))
                .map(row)
                .collect(),
            Rows::Newest { .. } => vec![row(QUARTERS - 1)],
        };
        Found { subject: Some(SubjectInfo::default()), rows }
    }
}

impl Source for Figures {
    async fn read(&self, needs: Vec<Need>) -> Result<(Revision, Vec<Found>), StoreError> {
        Ok((1, needs.iter().map(Self::answer).collect()))
    }

    async fn topic_members(&self, _: &str) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, (0..SUBJECTS).map(|i| name(i).into()).collect()))
    }

    async fn tagged(
        &self,
        topic: &str,
        _: &str,
        _: &str,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        self.topic_members(topic).await
    }

    async fn changes_since(&self, _: Revision) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, Vec::new()))
    }

    fn revision(&self) -> Revision {
        1
    }

    fn indicators(&self) -> Arc<Indicators> {
        Arc::new(Indicators::new([
            "operating_income",
            "parent_holder_net_profit",
            "total_operating_cost",
            "net_profit",
            "operating_profit",
            "total_profit",
        ]))
    }
}

fn name(subject: usize) -> String {
    format!("33:{subject:08}")
}

fn indicators(count: u16) -> IndicatorList {
    (0..count).map(kamaitachi_node::model::IndicatorId).collect()
}

fn subjects(count: usize) -> Scope {
    Scope::Subjects((9..9 + count).map(name).collect())
}

fn snapshot(scope: Scope, field: SortField) -> SnapshotQuery {
    let page = Page { field, order: Order::Descending, offset: 0, limit: 20 };
    SnapshotQuery { indicators: indicators(3), scope, page, at: None }
}

fn period(count: usize) -> PeriodQuery {
    PeriodQuery {
        indicators: indicators(3),
        scope: subjects(count),
        from: 0,
        to: QUARTERS * QUARTER,
    }
}

/// An engine that knows the answers to all queries below.
static ENGINE: LazyLock<Engine<Figures>> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let engine = Engine::new(Figures, CacheLimits::default());
    runtime.block_on(async {
        let topic = snapshot(Scope::Topic("all".into()), SortField::ReportDate);
        engine.snapshot(&topic).await.unwrap();
        engine.period(&period(50)).await.unwrap();
    });
    engine
});

fn answer_snapshot(bencher: Bencher<'_, '_>, query: &SnapshotQuery) {
    let engine = &*ENGINE;
    bencher.bench(|| {
        // Cached, so ready at once: no runtime is needed.
        let answer = engine.snapshot(black_box(query)).now_or_never();
        answer.expect("cached").expect("no store is read")
    });
}

#[divan::bench(args = [1, 2, 8, 50])]
fn cached_snapshot_of_three_indicators(bencher: Bencher<'_, '_>, count: usize) {
    answer_snapshot(bencher, &snapshot(subjects(count), SortField::ReportDate));
}

#[divan::bench]
fn cached_snapshot_of_a_topic_of_10000_by_income(bencher: Bencher<'_, '_>) {
    let income = SortField::Indicator(kamaitachi_node::model::IndicatorId(0));
    answer_snapshot(bencher, &snapshot(Scope::Topic("all".into()), income));
}

#[divan::bench(args = [1, 2, 50])]
fn cached_period_of_three_indicators_and_40_rows(bencher: Bencher<'_, '_>, count: usize) {
    let (engine, query) = (&*ENGINE, period(count));
    bencher.bench(|| {
        let answer = engine.period(black_box(&query)).now_or_never();
        answer.expect("cached").expect("no store is read")
    });
}

#[divan::bench(args = [2, 50])]
fn list_of_subjects(bencher: Bencher<'_, '_>, count: usize) {
    let names: Vec<String> = (0..count).map(name).collect();
    bencher.bench(|| black_box(&names).iter().collect::<SubjectList>());
}

#[divan::bench]
fn lru_get(bencher: Bencher<'_, '_>) {
    #[expect(clippy::disallowed_methods, reason = "nothing here waits: any clock will do")]
    let now = Instant::now();
    let lru: Lru<Subject, Arc<u64>> = Lru::new(256 << 20);
    let names: Vec<Subject> = (0..SUBJECTS).map(|i| name(i).into()).collect();
    for (i, name) in names.iter().enumerate() {
        lru.insert(name.clone(), Arc::new(i as u64), 100, now + Duration::from_secs(60));
    }
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 7919) % SUBJECTS;
        lru.get(black_box(&*names[at]), now)
    });
}
