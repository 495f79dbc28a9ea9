//! Background tasks that come back when they fail.

use std::{
    fmt::Display,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tracing::{error, info};

/// How long to wait before a failed task is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// After the first failure. Default 100 ms.
    pub first: Duration,
    /// At most; each failure in a row doubles the wait. Default 30 s.
    pub most: Duration,
    /// A task that ran this long starts over at `first`. Default 60 s.
    pub forgive_after: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(30),
            forgive_after: Duration::from_secs(60),
        }
    }
}

/// Runs what `task` makes; where it fails or panics, logs it, waits and makes another. Ends when
/// one ends well. Cancel safe: dropping it drops the running task.
pub async fn supervise<Fut, E>(name: &str, back_off: BackOff, mut task: impl FnMut() -> Fut)
where
    Fut: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut wait = back_off.first;
    loop {
        let began = Instant::now();
        let reason = match caught(task()).await {
            Ok(Ok(())) => {
                info!(task = name, "background task ended");
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {panic}"),
        };
        if began.elapsed() >= back_off.forgive_after {
            wait = back_off.first;
        }
        error!(task = name, reason, retry_in = ?wait, "background task failed");
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(back_off.most);
    }
}

/// [`supervise`], spawned on the current runtime.
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_supervised<Fut, E>(
    name: &'static str,
    back_off: BackOff,
    task: impl FnMut() -> Fut + Send + 'static,
) -> JoinHandle<()>
where
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Display + Send + 'static,
{
    tokio::spawn(supervise(name, back_off, task))
}

/// [`supervise`], spawned on the current thread: for what is not `Send`.
///
/// # Panics
/// Outside a local runtime, such as a server's worker.
pub fn spawn_supervised_local<Fut, E>(
    name: &'static str,
    back_off: BackOff,
    task: impl FnMut() -> Fut + 'static,
) -> JoinHandle<()>
where
    Fut: Future<Output = Result<(), E>> + 'static,
    E: Display + 'static,
{
    tokio::task::spawn_local(supervise(name, back_off, task))
}

/// The output of `future`, or the message it panicked with. After a panic the future is dropped,
/// so nothing sees it half-done.
async fn caught<Fut: Future>(future: Fut) -> Result<Fut::Output, String> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(message(&*payload).to_owned())),
    })
    .await
}

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    /// Runs `task` for attempts 0, 1, …; gives the seconds at which each began.
    async fn starts<Fut: Future<Output = Result<(), String>>>(
        mut task: impl FnMut(usize) -> Fut,
    ) -> Vec<u64> {
        let began = Instant::now();
        let times = Rc::new(RefCell::new(Vec::new()));
        let back_off = BackOff {
            first: Duration::from_secs(1),
            most: Duration::from_secs(4),
            forgive_after: Duration::from_secs(60),
        };
        supervise("test", back_off, || {
            times.borrow_mut().push(began.elapsed().as_secs());
            let attempt = times.borrow().len() - 1;
            task(attempt)
        })
        .await;
        times.take()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_restart_ever_later_up_to_the_most() {
        let times = starts(|attempt| async move {
            assert!(attempt != 1, "on purpose");
            if attempt < 5 { Err("no luck".to_owned()) } else { Ok(()) }
        })
        .await;
        assert_eq!(times, [0, 1, 3, 7, 11, 15]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_run_is_forgiven() {
        let times = starts(|attempt| async move {
            match attempt {
                0 | 1 => Err("no luck".to_owned()),
                2 => {
                    sleep(Duration::from_secs(100)).await;
                    Err("died of age".to_owned())
                }
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(times, [0, 1, 3, 104]);
    }
}
