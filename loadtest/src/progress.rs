//! Progress: a live bar on a terminal, a plain line a second elsewhere, nothing when it is not
//! wanted.

use std::{
    io::IsTerminal,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts answers and shows the count on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    name: String,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// For a run called `name` of `requests`, if they are counted.
    #[must_use]
    pub fn new(name: &str, requests: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = requests.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let look = "{prefix:>10} {wide_bar} {human_pos}/{human_len} {per_sec} {msg}";
            if let Ok(style) = ProgressStyle::with_template(look) {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        let zero = || AtomicU64::new(0);
        Self { bar, name: name.to_owned(), done: zero(), failed: zero() }
    }

    /// Counts one answer.
    pub fn count(&self, right: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if !right {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows the count until it is dropped: ten times a second on a terminal, else once.
    pub async fn show(&self) {
        let every = Duration::from_millis(if self.bar.is_some() { 100 } else { 1000 });
        let mut before = 0;
        loop {
            tokio::time::sleep(every).await;
            let done = self.done.load(Ordering::Relaxed);
            let failed = self.failed.load(Ordering::Relaxed);
            if let Some(bar) = &self.bar {
                bar.set_position(done);
                if failed > 0 {
                    bar.set_message(format!("{failed} failed"));
                }
            } else {
                let second = done - before;
                eprintln!(
                    "{}: {done} done, {second} in the last second, {failed} failed",
                    self.name
                );
                before = done;
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
