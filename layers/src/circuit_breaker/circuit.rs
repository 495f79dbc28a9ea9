//! The breaker that all parties share.
use std::sync::Arc;

use kamaitachi_policies::breaker::{
    Breaker, BreakerConfig, BreakerSnapshot, Outcome, Permit, Verdict,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::rejection::Rejection;

/// A named breaker. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Circuit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    breaker: Mutex<Breaker>,
}

impl Circuit {
    /// A closed breaker that has seen nothing.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, config: BreakerConfig) -> Self {
        let breaker = Mutex::new(Breaker::new(config));
        Self { shared: Arc::new(Shared { name: name.into(), breaker }) }
    }

    /// Its name, which refusals carry.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// How it stands now, for monitoring.
    #[must_use]
    pub fn snapshot(&self) -> BreakerSnapshot {
        self.shared.breaker.lock().snapshot(now())
    }

    /// Asks for one try.
    pub(super) fn admit(&self) -> Result<Try, Rejection> {
        let verdict = self.shared.breaker.lock().try_acquire(now());
        match verdict {
            Verdict::Admit(permit) => Ok(Try { circuit: self.clone(), permit: Some(permit) }),
            Verdict::Refuse(retry_after) => {
                Err(Rejection::CircuitOpen { breaker: Arc::clone(&self.shared.name), retry_after })
            }
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A try that was admitted. Reports once: what [`report`](Self::report) is told, or on drop that nothing is known.
#[derive(Debug)]
pub(super) struct Try {
    circuit: Circuit,
    permit: Option<Permit>,
}

impl Try {
    pub(super) fn report(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            self.circuit.shared.breaker.lock().record(permit, outcome, now());
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        self.report(Outcome::Ignored);
    }
}
