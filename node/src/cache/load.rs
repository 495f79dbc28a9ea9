//! One read of the store and who waits for it.

use tokio::sync::watch;

use crate::query::QueryError;

/// A read under way. Whoever waits keeps its own time; nobody who leaves takes it along.
#[derive(Debug)]
pub(crate) struct Load {
    /// How many subjects it is about.
    size: usize,
    state: watch::Sender<State>,
}

#[derive(Clone, Debug)]
enum State {
    Running,
    Done,
    Failed(QueryError),
}

impl Load {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, state: watch::Sender::new(State::Running) }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Tells all who wait how it ended. Only the first end counts.
    pub(crate) fn end(&self, result: Result<(), QueryError>) {
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running);
            if running {
                *state = result.map_or_else(State::Failed, |()| State::Done);
            }
            running
        });
    }

    /// Waits for the end. May be dropped at any time.
    pub(crate) async fn ended(&self) -> Result<(), QueryError> {
        let mut watching = self.state.subscribe();
        match watching.wait_for(|state| !matches!(state, State::Running)).await.as_deref() {
            Ok(State::Failed(error)) => Err(error.clone()),
            Ok(State::Done) => Ok(()),
            Ok(State::Running) | Err(_) => Err(QueryError::Abandoned),
        }
    }
}
