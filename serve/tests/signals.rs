//! Signals are the process's own, so their test is alone in its process.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{process::Command, time::Duration};

use kamaitachi_serve::shutdown::Drain;

fn signal(name: &str) {
    let pid = std::process::id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

#[tokio::test]
async fn the_first_signal_drains_and_the_second_stops() {
    let drain = Drain::on_signals().unwrap();
    assert!(!drain.is_requested());
    signal("TERM");
    drain.requested().await;
    let stopped = tokio::time::timeout(Duration::from_millis(20), drain.stopped()).await;
    assert!(stopped.is_err(), "one signal does not stop");
    signal("INT");
    drain.stopped().await;
}
