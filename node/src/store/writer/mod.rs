//! The writing thread: groups of writes, one commit each, observers told in order.

mod catch_up;

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rusqlite::Connection;

use super::{
    LogLimits, Options, StoreError, Touched, connect,
    error::OpenReason,
    history::History,
    job::{WriteJob, Writing},
    log::{Account, Applied, Commit, Notes, wall_clock},
    pages,
    schema::{self, Column, Kind},
    shared::Shared,
    state::State,
    threads::Message,
};
use crate::model::{Indicators, Revision};

/// Most writes in one commit, and most rows among those that join the first.
const GROUP: usize = 256;
const GROUP_ROWS: usize = 1_024;

/// A write that has run and waits for the commit.
struct Done {
    job: Box<dyn WriteJob>,
    revision: Revision,
    touched: Touched,
    /// What it logged itself.
    ops: Vec<u8>,
}

/// Where a group of writes ends, if it is committed.
struct End {
    state: State,
    indicators: Arc<Indicators>,
    applied: Option<Applied>,
}

/// The one connection that writes.
pub(super) struct Writer {
    conn: Connection,
    shared: Arc<Shared>,
    look_outside: Duration,
    /// The state of the file as of the last commit.
    state: State,
    indicators: Arc<Indicators>,
    columns: Arc<[Column]>,
    history: History,
    log: Log,
    /// SQLite's number for the content as others left it; `None` before the first look.
    others: Option<i64>,
    /// The disk failed a write: a probe has to succeed before anything is acknowledged.
    fenced: Cell<bool>,
}

/// What the writer needs to log what it commits.
struct Log {
    limits: LogLimits,
    /// A follower's changes are its master's: it logs none.
    follows: bool,
    notes: Notes,
    account: Account,
}

impl Writer {
    /// Opens the file and brings it up to date.
    pub(super) fn open(options: &Options, shared: Arc<Shared>) -> Result<Self, OpenReason> {
        let conn = connect::writer(options)?;
        let kind = schema::recognise(&conn)?;
        pages::look_over(options)?;
        if kind == Kind::ToMigrate {
            // Before the log, through which a new index would have to be written twice.
            schema::migrate(&conn)?;
        }
        connect::use_log(&conn)?;
        let state = State::load(&conn)?;
        let indicators = Arc::new(schema::indicators(&conn, &Indicators::default())?);
        let columns: Arc<[Column]> = schema::columns(&conn)?.into();
        let mut history = History::load(&conn)?;
        if history.lineage.is_empty() && !options.follows {
            history = History::begin(columns.len());
            history.save(&conn)?;
        }
        let log = Log {
            limits: options.log,
            follows: options.follows,
            notes: Notes::take_from(&conn)?,
            account: Account::load(&conn)?,
        };
        let mut writer = Self {
            columns,
            history,
            log,
            others: None,
            look_outside: options.look_outside,
            fenced: Cell::new(false),
            conn,
            shared,
            state,
            indicators,
        };
        writer.publish();
        writer.catch_up().map_err(|error| OpenReason::Damaged(error.to_string()))?;
        Ok(writer)
    }

    /// Works until told to stop, then folds the log into the file.
    pub(super) fn run(mut self, jobs: &Receiver<Message<Box<dyn WriteJob>>>) {
        loop {
            match jobs.recv_timeout(self.look_outside) {
                Ok(Message::Job(job, place)) => {
                    drop(place);
                    let (group, stop) = gather(job, jobs);
                    self.write(group);
                    if stop {
                        break;
                    }
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.look(),
            }
        }
        self.fold();
    }

    /// Folds the log into the file, at the end.
    pub(super) fn fold(self) {
        let fold = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], fold) {
            tracing::warn!(%error, "the write-ahead log could not be folded into the store");
        }
    }
}

/// Takes what else is waiting, as long as it is small, and whether the end is among it.
fn gather(
    first: Box<dyn WriteJob>,
    jobs: &Receiver<Message<Box<dyn WriteJob>>>,
) -> (Vec<Box<dyn WriteJob>>, bool) {
    let mut rows = first.weight();
    let mut group = vec![first];
    while rows < GROUP_ROWS && group.len() < GROUP {
        match jobs.try_recv() {
            Ok(Message::Job(job, place)) => {
                drop(place);
                rows = rows.saturating_add(job.weight());
                group.push(job);
            }
            Ok(Message::Stop) => return (group, true),
            Err(_) => break,
        }
    }
    (group, false)
}

impl Writer {
    /// Runs a group of writes, commits them together, and answers each.
    pub(super) fn write(&mut self, group: Vec<Box<dyn WriteJob>>) {
        let mut done = Vec::with_capacity(group.len());
        let mut waiting = group.into_iter();
        let outcome = self.ready().and_then(|()| self.begin()).and_then(|()| {
            let end = self.run_jobs(&mut waiting, &mut done)?;
            self.commit(&done, end)
        });
        if let Err(error) = &outcome {
            self.rollback();
            // Before anyone hears of it, so that whoever then asks for the node's health is told.
            self.note(error);
        }
        for Done { job, revision, .. } in done {
            job.answer(outcome.clone().map(|()| revision));
        }
        if let Err(error) = outcome {
            waiting.for_each(|job| job.answer(Err(error.clone())));
        }
    }

    /// Whether writes may be acknowledged, and the file is as this writer left it.
    fn ready(&mut self) -> Result<(), StoreError> {
        if self.shared.health.is_damaged() {
            return Err(StoreError::Corrupt);
        }
        if self.fenced.get() {
            // A commit that failed in its sync may still lie in the log as if it had succeeded.
            // One that succeeds writes over it; until then nothing can be promised. The sync that
            // failed is not tried again: the kernel would say that all is well.
            self.conn.execute_batch(
                "BEGIN IMMEDIATE; UPDATE store_state SET probes = probes + 1; COMMIT",
            )?;
            self.fenced.set(false);
            self.shared.health.take_writes();
        }
        self.catch_up()
    }

    /// Begins a transaction on the state this writer knows.
    fn begin(&mut self) -> Result<(), StoreError> {
        self.log.notes.clear();
        loop {
            self.execute("BEGIN IMMEDIATE")?;
            if State::load(&self.conn)?.revision == self.state.revision {
                return Ok(());
            }
            // Another process got in between.
            self.rollback();
            self.catch_up()?;
        }
    }

    /// Runs the jobs one after the other; one that fails is undone and answered at once.
    ///
    /// An error means that SQLite has given up the whole transaction.
    fn run_jobs(
        &self,
        waiting: &mut std::vec::IntoIter<Box<dyn WriteJob>>,
        done: &mut Vec<Done>,
    ) -> Result<End, StoreError> {
        let (mut state, mut indicators) = (self.state, Arc::clone(&self.indicators));
        let mut applied = None;
        let alone = waiting.len() == 1;
        for mut job in waiting.by_ref() {
            let mut writing = Writing {
                conn: &self.conn,
                revision: state.revision + 1,
                touched: Touched::default(),
                indicators: Arc::clone(&indicators),
                totals: state.totals,
                ops: Vec::new(),
                applied: applied.clone(),
            };
            match self.run_job(&mut *job, &mut writing, alone) {
                Ok(()) => {
                    let Writing { revision, touched, indicators: new, totals, ops, .. } = writing;
                    state.advance(revision, totals, touched.membership);
                    indicators = new;
                    applied = writing.applied;
                    if let Some(applied) = &applied {
                        state.membership_revision = applied.membership_revision;
                    }
                    done.push(Done { job, revision, touched, ops });
                }
                Err(error) => {
                    self.note(&error);
                    job.answer(Err(error.clone()));
                    if self.conn.is_autocommit() {
                        return Err(error);
                    }
                }
            }
        }
        Ok(End { state, indicators, applied })
    }

    fn run_job(
        &self,
        job: &mut dyn WriteJob,
        writing: &mut Writing<'_>,
        alone: bool,
    ) -> Result<(), StoreError> {
        if !alone {
            self.execute("SAVEPOINT job")?;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| job.run(writing))).unwrap_or_else(|_| {
            tracing::error!("a write to the store panicked");
            Err(StoreError::Panicked)
        });
        let ran = ran.and(match (self.log.follows, &writing.applied) {
            (true, None) => Err(StoreError::Follows),
            (false, Some(_)) => Err(StoreError::Diverged("it follows nobody")),
            (true, Some(_)) | (false, None) => Ok(()),
        });
        if self.conn.is_autocommit() {
            return ran.and(Err(StoreError::DiskFailed));
        }
        match (&ran, alone) {
            (Ok(()), true) => {}
            (Ok(()), false) => self.execute("RELEASE job")?,
            (Err(_), true) => self.rollback(),
            (Err(_), false) => self.conn.execute_batch("ROLLBACK TO job; RELEASE job")?,
        }
        ran
    }

    /// Commits what is done, and tells everybody, in order.
    fn commit(&mut self, done: &[Done], end: End) -> Result<(), StoreError> {
        if done.is_empty() {
            self.rollback();
            return Ok(());
        }
        let End { state, indicators, applied } = end;
        state.save(&self.conn)?;
        let mut account = self.log.account;
        let columns = if Arc::ptr_eq(&indicators, &self.indicators) {
            Arc::clone(&self.columns)
        } else {
            schema::columns(&self.conn)?.into()
        };
        let history = match applied {
            Some(applied) => applied.history,
            None => self.commit_of(done, &state, &columns).log(
                &self.conn,
                &self.log.notes,
                &self.log.limits,
                &mut account,
            )?,
        };
        history.save(&self.conn)?;
        for Done { revision, touched, .. } in done {
            self.shared.before_commit(*revision, touched);
        }
        let committed = self.execute("COMMIT").map_err(StoreError::from);
        match &committed {
            Ok(()) => {
                (self.state, self.indicators) = (state, indicators);
                (self.columns, self.history, self.log.account) = (columns, history, account);
                self.publish();
                for Done { revision, touched, .. } in done {
                    self.shared.after_commit(*revision, touched);
                }
                self.shared.confirm(self.state.revision);
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                self.fenced.set(*error != StoreError::Busy);
                self.rollback();
                for Done { revision, touched, .. } in done {
                    self.shared.aborted(*revision, touched);
                }
            }
        }
        committed
    }

    /// What an error tells of the writes to come.
    fn note(&self, error: &StoreError) {
        match error {
            StoreError::DiskFull | StoreError::DiskFailed => {
                self.fenced.set(true);
                self.shared.health.refuse_writes(error);
            }
            StoreError::Corrupt => self.shared.health.found_damage(),
            _ => {}
        }
    }

    /// What a group of writes logs.
    fn commit_of<'a>(
        &'a self,
        done: &'a [Done],
        state: &'a State,
        columns: &'a [Column],
    ) -> Commit<'a> {
        Commit {
            first: self.state.revision + 1,
            state,
            before: &self.history,
            columns,
            membership: done.iter().any(|done| done.touched.membership),
            subjects: done.iter().flat_map(|done| &done.touched.subjects).collect(),
            outside: None,
            ops: done.iter().map(|done| &*done.ops).filter(|ops| !ops.is_empty()).collect(),
        }
    }

    /// Runs a statement that comes with every write.
    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.conn.prepare_cached(sql)?.execute([]).map(drop)
    }

    fn rollback(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    fn publish(&self) {
        let State { revision, totals, .. } = self.state;
        let mark = self.history.mark(revision);
        self.shared.publish(mark, totals, Arc::clone(&self.indicators));
    }

    /// Between writes: takes in what others wrote, and finds out whether a disk that failed is
    /// well again.
    fn look(&mut self) {
        let knew = self.shared.health.refused().is_some();
        if let Err(error) = self.ready() {
            self.rollback();
            self.note(&error);
            if !knew {
                tracing::warn!(%error, "cannot look for rows that others wrote");
            }
        }
        if let Err(error) = self.trim() {
            self.rollback();
            tracing::warn!(%error, "cannot drop the oldest of the change log");
        }
    }

    /// Drops what is too old for the log even if nothing is written.
    fn trim(&mut self) -> Result<(), StoreError> {
        let (now, mut account) = (wall_clock(), self.log.account);
        if self.log.follows || !account.is_over(&self.log.limits, now) {
            return Ok(());
        }
        self.conn.execute_batch("BEGIN IMMEDIATE")?;
        account.trim(&self.conn, &self.log.limits, now)?;
        self.conn.execute_batch("COMMIT")?;
        self.log.account = account;
        Ok(())
    }
}
