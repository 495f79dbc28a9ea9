//! What systemd and the like are told of the process: `Type=notify` and `WatchdogSec=` of a unit. Without
//! `NOTIFY_SOCKET` in the environment nothing is told to anybody.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Says that the process serves, and from now on, where the unit asks for it, that its main runtime is alive: twice in
/// each `WatchdogSec`, from a task of the current runtime.
///
/// # Panics
/// Outside a tokio runtime.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    if let Some(within) = sd_notify::watchdog_enabled() {
        tokio::spawn(keep_telling(within / 2));
    }
}

/// Says that the process is on its way out.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

async fn keep_telling(every: Duration) {
    let mut turns = interval(every.max(Duration::from_millis(1)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        warn!(%error, "the service manager could not be told");
    }
}
