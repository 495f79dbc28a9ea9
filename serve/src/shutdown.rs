//! The way out: a signal begins the drain, a second one ends it.
//!
//! ```no_run
//! use std::time::Duration;
//! use kamaitachi_serve::{server::Handle, shutdown::Drain};
//!
//! # async fn example(main: Handle, admin: Handle) -> std::io::Result<()> {
//! let drain = Drain::on_signals()?;
//! drain.requested().await;
//! // Deregister, then finish what is in flight; the admin server goes last.
//! drain.finish(main, Duration::from_secs(30)).await;
//! drain.finish(admin, Duration::from_secs(1)).await;
//! # Ok(()) }
//! ```

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    server::{Drained, Handle},
    service_manager,
};

/// Whether the process is on its way out. Clones tell and hear the same; may be waited for from
/// any thread and runtime.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    requested: CancellationToken,
    stopped: CancellationToken,
}

impl Drain {
    /// One that nobody has asked for yet, and no signal will.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM or SIGINT asks for; the second signal means at once. The listening task
    /// belongs to the current runtime.
    ///
    /// # Errors
    /// The handlers can't be installed.
    ///
    /// # Panics
    /// Outside a tokio runtime with its I/O driver on.
    pub fn on_signals() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let drain = Self::new();
        let told = drain.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let first = next().await;
            info!(signal = first, "draining; another signal stops at once");
            service_manager::stopping();
            told.begin();
            let second = next().await;
            warn!(signal = second, "stopping at once");
            told.stop();
        });
        Ok(drain)
    }

    /// Asks for the drain.
    pub fn begin(&self) {
        self.requested.cancel();
    }

    /// Asks to stop at once.
    pub fn stop(&self) {
        self.requested.cancel();
        self.stopped.cancel();
    }

    /// Whether the drain was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Resolves when the drain was asked for, at once where it was before. Cancel safe.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Resolves when the process is to stop at once. Cancel safe.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// The drain as a token, for whatever takes one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.requested.clone()
    }

    /// Drains a server: to the deadline at most, or until the second signal.
    pub async fn finish(&self, server: Handle, deadline: Duration) -> Drained {
        let address = server.local_addr();
        let drained = server
            .drain_until(async {
                tokio::select! {
                    () = tokio::time::sleep(deadline) => {}
                    () = self.stopped() => {}
                }
            })
            .await;
        info!(%address, cut = drained.cut, "server drained");
        drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clones_share_the_word_and_stopping_implies_draining() {
        let drain = Drain::new();
        let other = drain.clone();
        assert!(!other.is_requested());
        drain.stop();
        other.requested().await;
        other.stopped().await;
        assert!(other.token().is_cancelled());
    }

    #[tokio::test]
    async fn asking_for_the_drain_does_not_stop() {
        let drain = Drain::new();
        drain.begin();
        drain.requested().await;
        assert!(!drain.stopped.is_cancelled());
    }
}
