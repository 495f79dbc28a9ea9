//! Ending a run before its time: what was asked is still waited for, and reported.

use tokio::sync::watch;

/// Says whether the run is to end early. Clones hear of the same wish.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// One that nobody asks for.
    #[must_use]
    pub fn never() -> Self {
        // The value stays readable when its sender is gone.
        Self(watch::channel(false).1)
    }

    /// One that SIGINT and SIGTERM ask for; a second signal ends the process at once, with status 1.
    ///
    /// # Errors
    /// Where the system lets signals be handled no more.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            let mut either = async || {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            };
            either().await;
            eprintln!("stopping: waiting for what was sent; a second signal ends it at once");
            ask.send_replace(true);
            either().await;
            std::process::exit(1);
        });
        Ok(Self(asked))
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked for, for ever if nobody can. Cancel safe.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wish_is_heard_by_all_clones_and_stays() {
        let (ask, asked) = watch::channel(false);
        let mut stop = Stop(asked);
        let mut clone = stop.clone();
        assert!(!stop.is_asked());
        ask.send_replace(true);
        drop(ask);
        stop.asked().await;
        clone.asked().await;
        assert!(clone.is_asked() && !Stop::never().is_asked());
    }
}
