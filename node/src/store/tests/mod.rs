//! The store as its users see it, on real files.

mod basics;
mod concurrency;
mod data;
mod durability;
mod faults;
mod import;
mod legacy;
mod log;
mod model;
mod outside;

use parking_lot::Mutex;

use super::{
    Durability, Found, Need, Options, RowBatch, RowFacts, Rows, Store, Touched, WriteObserver,
};
use crate::model::{Epoch, Revision, Subject};

/// A store in a directory of its own.
struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    /// Without syncs, which make tests slow and show nothing that a test could see.
    async fn open(dir: tempfile::TempDir) -> Self {
        let options =
            Options { durability: Durability::Normal, ..Options::new(dir.path().join("store.db")) };
        let store = Store::open(options).await.unwrap();
        Self { dir, store }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("store.db")
    }

    /// Closes the store and opens it again.
    async fn reopen(self) -> Self {
        self.store.close().await;
        Self::open(self.dir).await
    }
}

/// The facts of a row that names its subject.
fn named(name: &str) -> RowFacts {
    RowFacts { name: Some(name.into()), ..RowFacts::default() }
}

/// A batch of rows with `operating_income` alone.
fn incomes(rows: &[(&str, Epoch, Option<f64>)]) -> RowBatch {
    let mut batch = RowBatch::default();
    for (subject, at, value) in rows {
        batch.add(subject, *at, &[("operating_income", *value)], RowFacts::default());
    }
    batch
}

/// All rows of a subject with all indicators.
async fn all(store: &Store, subject: &str) -> Found {
    let indicators = store.indicators();
    let indicators = indicators.names().iter().filter_map(|name| indicators.id(name)).collect();
    let rows = Rows::Between { from: Epoch::MIN, to: Epoch::MAX };
    let need = Need { subject: Subject::from(subject), rows, indicators };
    store.read(vec![need]).await.unwrap().1.remove(0)
}

/// Keeps what it was told.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn add(&self, what: &str, revision: Revision, touched: &Touched) {
        let subjects = touched.subjects.join(" ");
        self.0.lock().push(format!("{what} {revision} [{subjects}] {}", touched.membership));
    }
}

impl WriteObserver for Log {
    fn before_commit(&self, revision: Revision, touched: &Touched) {
        self.add("before", revision, touched);
    }
    fn after_commit(&self, revision: Revision, touched: &Touched) {
        self.add("after", revision, touched);
    }
    fn aborted(&self, revision: Revision, touched: &Touched) {
        self.add("aborted", revision, touched);
    }
}
