//! What the cache says it takes beside what the process grew by, under the allocator that the node
//! runs with. Exits 1 where the process grew by more than 1.3 times what the cache says.
//!
//! `cargo bench -p kamaitachi-node --bench memory`

use std::{process::ExitCode, sync::Arc};

use kamaitachi_node::{
    cache::CacheLimits,
    model::{IndicatorId, Indicators, Revision, RowInfo, Subject, SubjectInfo},
    query::{
        Engine, Order, Page, PeriodQuery, Scope, SnapshotQuery, SortField, Source, SubjectList,
    },
    store::{Found, FoundRow, Need, Rows, StoreError},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most that the process may grow by, in hundredths of what the cache says.
const MOST: u64 = 130;

/// Subjects with as many rows as they are asked for.
struct Figures {
    rows: i64,
}

impl Figures {
    fn answer(&self, need: &Need) -> Found {
        let row = |date: i64| FoundRow {
            report_date: date,
            info: RowInfo {
                end_date: format!("{:010}", date % 4096).into(),
                period: "596004".into(),
                declare_date: (date % 2 == 0).then(|| "2021-04-30".into()),
                year: "2020".into(),
            },
            values: need.indicators.iter().map(|_| Some(1e9 / (date + 1) as f64)).collect(),
        };
        let rows = match need.rows {
            Rows::Between { .. } => (0..self.rows).map(row).collect(),
            Rows::Newest { .. } => vec![row(self.rows)],
        };
        Found { subject: Some(SubjectInfo::default()), rows }
    }
}

impl Source for Figures {
    async fn read(&self, needs: Vec<Need>) -> Result<(Revision, Vec<Found>), StoreError> {
        Ok((1, needs.iter().map(|need| self.answer(need)).collect()))
    }

    async fn topic_members(&self, _: &str) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, Vec::new()))
    }

    async fn tagged(
        &self,
        _: &str,
        _: &str,
        _: &str,
    ) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, Vec::new()))
    }

    async fn changes_since(&self, _: Revision) -> Result<(Revision, Vec<Subject>), StoreError> {
        Ok((1, Vec::new()))
    }

    fn revision(&self) -> Revision {
        1
    }

    fn indicators(&self) -> Arc<Indicators> {
        Arc::new(Indicators::new(["a", "b", "c", "d", "e", "f"]))
    }
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

/// Asks for `subjects` subjects of `rows` rows, a few at a time and in several steps, so that maps
/// are merged as they are in life.
async fn fill(engine: &Engine<Figures>, subjects: usize, rows: i64) {
    for first in (0..subjects).step_by(10) {
        let list: SubjectList = (first..first + 10).map(|i| format!("33:{i:08}")).collect();
        let scope = Scope::Subjects(list);
        if rows == 1 {
            let field = SortField::Subject;
            let page = Page { field, order: Order::Ascending, offset: 0, limit: 1 };
            for ids in [vec![0_u16], vec![1, 2]] {
                let indicators = ids.into_iter().map(IndicatorId).collect();
                let query = SnapshotQuery { indicators, scope: scope.clone(), page, at: None };
                engine.snapshot(&query).await.expect("no store to fail");
            }
        } else {
            for ids in [vec![0_u16, 1], vec![2], vec![3, 4, 5]] {
                let indicators = ids.into_iter().map(IndicatorId).collect();
                let query = PeriodQuery { indicators, scope: scope.clone(), from: 0, to: rows };
                engine.period(&query).await.expect("no store to fail");
            }
        }
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread");
    let mut worst = 0;
    for (rows, subjects) in [(1, 300_000), (40, 40_000), (1_000, 2_500)] {
        let limits = CacheLimits { max_bytes: 1 << 30, ..CacheLimits::default() };
        let before = resident();
        let engine = Engine::new(Figures { rows }, limits);
        runtime.block_on(fill(&engine, subjects, rows));
        let grown = resident().saturating_sub(before);
        let stats = engine.stats();
        let ratio = grown * 100 / stats.bytes.max(1);
        println!(
            "{subjects} subjects of {rows} rows: the cache says {} MiB, the process grew by {} MiB: {}.{:02}",
            stats.bytes >> 20,
            grown >> 20,
            ratio / 100,
            ratio % 100,
        );
        worst = worst.max(ratio);
        // What was freed is used again by the next round, which would make it look too good.
        std::mem::forget(engine);
    }
    if worst > MOST { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
