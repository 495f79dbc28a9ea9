//! One run: as many connections as asked for, each taking turns from the schedule.

use std::{sync::Arc, time::Duration};

use http::Method;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    answers::Answers,
    client::{Connection, Target},
    oracle::Oracle,
    progress::Progress,
    record::{Outcome, Record, Times},
    schedule::{Schedule, Turn},
    stop::Stop,
    workload::{SNAPSHOT, Workload},
};

/// What a run needs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to send; connections take them in turn.
    pub targets: Vec<Target>,
    /// What to send.
    pub workload: Arc<Workload>,
    /// Connections.
    pub concurrent: u16,
    /// How many requests, where they are counted.
    pub requests: Option<u64>,
    /// For how long, where that is said.
    pub duration: Option<Duration>,
    /// Requests a second, in an open loop.
    pub rate: Option<f64>,
    /// When a request is given up.
    pub timeout: Duration,
    /// Who knows the right answers, where they are checked.
    pub oracle: Option<Arc<Oracle>>,
    /// Where every answer is noted, where that is wanted.
    pub answers: Option<Arc<Answers>>,
    /// Ends the run before its time.
    pub stop: Stop,
}

/// What a run measured.
#[derive(Debug)]
pub struct Measured {
    /// All connections' measurements.
    pub record: Record,
    /// From the first start to the last end.
    pub took: Duration,
}

/// Runs to the end of the schedule, or until it is stopped; what was sent is waited for.
pub async fn run(plan: &Plan, progress: Arc<Progress>) -> Measured {
    let schedule = Arc::new(Schedule::new(plan.requests, plan.duration, plan.rate));
    let mut connections = JoinSet::new();
    for number in 0..usize::from(plan.concurrent) {
        let target = plan.targets[number % plan.targets.len()].clone();
        let sender = Sender {
            connection: Connection::new(target, plan.timeout),
            plan: plan.clone(),
            schedule: Arc::clone(&schedule),
            progress: Arc::clone(&progress),
            record: Record::default(),
        };
        connections.spawn(sender.run());
    }
    let mut record = Record::default();
    while let Some(done) = connections.join_next().await {
        match done {
            Ok(one) => record.merge(one),
            Err(why) => record.explain(format!("a connection of the harness failed: {why}")),
        }
    }
    Measured { record, took: schedule.start().elapsed() }
}

struct Sender {
    connection: Connection,
    plan: Plan,
    schedule: Arc<Schedule>,
    progress: Arc<Progress>,
    record: Record,
}

impl Sender {
    async fn run(mut self) -> Record {
        let mut stop = self.plan.stop.clone();
        while let Some(turn) = self.schedule.next() {
            if let Some(due) = turn.due {
                tokio::select! { () = tokio::time::sleep_until(due) => {}, () = stop.asked() => {} }
            }
            if stop.is_asked() {
                break;
            }
            self.send(turn).await;
        }
        self.record
    }

    async fn send(&mut self, turn: Turn) {
        let index = self.plan.workload.index(turn.number);
        let body = self.plan.workload.bodies[index].clone();
        let Ok(request) = self.connection.target().request(Method::POST, SNAPSHOT, body) else {
            return;
        };
        let started = Instant::now();
        let answer = self.connection.send(request).await;
        let ended = Instant::now();
        let (outcome, bytes) = self.judge(index, answer);
        let times = Times {
            latency: ended - turn.due.unwrap_or(started).min(started),
            service: ended - started,
            at: ended - self.schedule.start(),
        };
        self.record.add(outcome, times, bytes);
        if let Some(answers) = &self.plan.answers
            && let Err(why) = answers.note(times.latency, outcome)
        {
            self.record.explain(format!("an answer could not be noted: {why}"));
        }
        self.progress.count(outcome == Outcome::Right);
        if outcome == Outcome::Connect {
            // Nobody listens: don't spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn judge(
        &mut self,
        index: usize,
        answer: Result<(u16, bytes::Bytes), Outcome>,
    ) -> (Outcome, u64) {
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(outcome) => return (outcome, 0),
        };
        let bytes = body.len() as u64;
        if status != 200 {
            return (Outcome::Status(status), bytes);
        }
        if let Some(oracle) = &self.plan.oracle {
            let query = &self.plan.workload.queries[index];
            if let Err(why) = oracle.check(query, &body) {
                let sent = String::from_utf8_lossy(&self.plan.workload.bodies[index]).into_owned();
                self.record.explain(format!("{why}; sent {sent}"));
                return (Outcome::Wrong, bytes);
            }
        }
        (Outcome::Right, bytes)
    }
}
