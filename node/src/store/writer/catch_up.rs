//! What others wrote to the file.

use std::sync::Arc;

use super::Writer;
use crate::{
    model::Subject,
    store::{
        StoreError, Touched,
        history::History,
        log::{Account, Commit},
        outside,
        schema::{self, Column},
        state::State,
    },
};

impl Writer {
    /// Takes in what other processes wrote to the file. A follower cannot: what is not its
    /// master's makes it a file of no history, which starts from a copy.
    pub(super) fn catch_up(&mut self) -> Result<(), StoreError> {
        let others = outside::data_version(&self.conn)?;
        if self.others == Some(others) {
            return Ok(());
        }
        let known = self.state.revision;
        let columns = schema::columns(&self.conn)?;
        let widened = History::load(&self.conn)?.columns != columns.len();
        let noted = widened || outside::noted(&self.conn)?;
        if noted {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
        }
        let mut state = State::load(&self.conn)?;
        let mut history = History::load(&self.conn)?;
        let mut account = Account::load(&self.conn)?;
        let mut touched = outside::written_since(&self.conn, known)?;
        touched.membership = state.membership_revision > known;
        if noted && self.log.follows {
            history = self.disown(&columns)?;
        } else if noted {
            history = self.take_in(&columns, &mut state, &mut touched, &mut account)?;
        }
        let indicators = Arc::new(schema::indicators(&self.conn, &self.indicators)?);
        if state.revision > known {
            self.shared.before_commit(state.revision, &touched);
        }
        if noted && let Err(error) = self.conn.execute_batch("COMMIT") {
            self.rollback();
            self.shared.aborted(state.revision, &touched);
            return Err(error.into());
        }
        (self.state, self.indicators, self.others) = (state, indicators, Some(others));
        (self.columns, self.history, self.log.account) = (columns.into(), history, account);
        self.publish();
        if state.revision > known {
            self.shared.after_commit(state.revision, &touched);
        }
        self.shared.confirm(state.revision);
        Ok(())
    }

    /// Makes a write of its own of what is noted, and logs it.
    fn take_in(
        &self,
        columns: &[Column],
        state: &mut State,
        touched: &mut Touched,
        account: &mut Account,
    ) -> Result<History, StoreError> {
        let before = History::load(&self.conn)?;
        let first = state.revision + 1;
        let mut new = Touched::default();
        let tags = outside::take_in(&self.conn, state, &mut new)?;
        state.save(&self.conn)?;
        let outside: Vec<Subject> = new.subjects.clone();
        let commit = Commit {
            first,
            state,
            before: &before,
            columns,
            membership: new.membership,
            subjects: outside.iter().collect(),
            outside: Some((&outside, tags)),
            ops: Vec::new(),
        };
        self.log.notes.clear();
        let history = commit.log(&self.conn, &self.log.notes, &self.log.limits, account)?;
        history.save(&self.conn)?;
        touched.subjects.append(&mut new.subjects);
        touched.subjects.sort_unstable();
        touched.subjects.dedup();
        touched.membership |= new.membership;
        Ok(history)
    }

    /// Makes the file one of no history.
    fn disown(&self, columns: &[Column]) -> Result<History, StoreError> {
        let history = History { columns: columns.len(), ..History::default() };
        self.conn.execute("DELETE FROM outside_changes", [])?;
        history.save(&self.conn)?;
        tracing::warn!("others wrote to a file that follows a master: it starts from a copy again");
        Ok(history)
    }
}
