//! The `kamaitachi-loadtest` program.

use std::{process::ExitCode, sync::Arc};

use clap::CommandFactory;
use kamaitachi_loadtest::{
    answers::Answers,
    args::{Args, Command},
    client::Target,
    oracle::Oracle,
    progress::Progress,
    report::{About, Report, Row, compare, html, table},
    run::{Plan, run},
    settings,
    stats::Cluster,
    stop::Stop,
    workload::{Generator, Workload},
};

fn main() -> ExitCode {
    let args = match settings::read(std::env::args_os(), std::env::vars()) {
        Ok(args) => args,
        Err(why) => {
            if why.exit_code() == 0 {
                let _ = why.print();
                return ExitCode::SUCCESS;
            }
            eprintln!("{}", settings::one_line(&why));
            return ExitCode::from(2);
        }
    };
    if let Some(Command::Completions { shell }) = args.command {
        let mut command = Args::command();
        clap_complete::generate(shell, &mut command, "kamaitachi-loadtest", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    match measure(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("error: {}", why.message);
            ExitCode::from(why.code)
        }
    }
}

/// Why nothing was measured or shown.
struct Failure {
    message: String,
    code: u8,
}

/// The user's mistake.
fn usage(message: String) -> Failure {
    Failure { message, code: 2 }
}

/// Anything else.
fn broken(message: String) -> Failure {
    Failure { message, code: 1 }
}

/// Measures and shows; says whether every answer was right.
fn measure(args: &Args) -> Result<bool, Failure> {
    let old = args.compare.as_ref().map(|file| read_report(file)).transpose()?;
    let oracle = args.verify.then(|| open_oracle(args)).transpose()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(usize::from(args.threads)).enable_all().build();
    let runtime = runtime.map_err(|why| broken(format!("can't start: {why}")))?;
    let answers = args.answers.as_ref().map(|file| {
        let made = Answers::create(file);
        made.map(Arc::new).map_err(|why| usage(format!("--answers {}: {why}", file.display())))
    });
    let answers = answers.transpose()?;
    let report = runtime.block_on(async {
        let stop = Stop::on_signals().map_err(|why| broken(format!("can't start: {why}")))?;
        Ok(Harness::new(args, oracle, answers.clone(), stop).report().await)
    })?;
    if let Some(answers) = answers {
        answers.flush().map_err(|why| broken(format!("--answers: {why}")))?;
    }
    if report.rows.is_empty() {
        return Err(broken("stopped before anything was measured".to_owned()));
    }
    let json = serde_json::to_string_pretty(&report).map_err(|why| broken(why.to_string()))?;
    if args.json {
        println!("{json}");
    } else {
        println!("{}", table::render(&report));
    }
    if let Some(old) = old {
        let text = compare::render(&old, &report);
        if args.json { eprintln!("{text}") } else { println!("{text}") }
    }
    let write = |file: &std::path::Path, text: &str| {
        std::fs::write(file, text).map_err(|why| broken(format!("{}: {why}", file.display())))
    };
    if let Some(file) = &args.out {
        write(file, &json)?;
    }
    if let Some(file) = &args.html {
        write(file, &html::render(&report).map_err(|why| broken(why.to_string()))?)?;
    }
    Ok(report.all_right())
}

fn read_report(file: &std::path::Path) -> Result<Report, Failure> {
    let name = file.display();
    let text = std::fs::read(file).map_err(|why| usage(format!("--compare {name}: {why}")))?;
    serde_json::from_slice(&text)
        .map_err(|why| usage(format!("--compare {name}: not a report of this harness: {why}")))
}

fn open_oracle(args: &Args) -> Result<Arc<Oracle>, Failure> {
    let name = args.db.display();
    let oracle = Oracle::open(&args.db).map_err(|why| {
        usage(format!("--verify needs the database that the nodes serve: --db {name}: {why}"))
    })?;
    if oracle.is_empty() {
        return Err(usage(format!("--db {name} has no rows of the subjects that are asked for")));
    }
    Ok(Arc::new(oracle))
}

/// How a run begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caches {
    /// As they are.
    Kept,
    /// Emptied just before it is measured.
    Cold,
    /// Each request of the run sent once before.
    Hot,
}

struct Harness<'a> {
    args: &'a Args,
    oracle: Option<Arc<Oracle>>,
    targets: Vec<Target>,
    cluster: Cluster,
    answers: Option<Arc<Answers>>,
    stop: Stop,
}

impl<'a> Harness<'a> {
    fn new(
        args: &'a Args,
        oracle: Option<Arc<Oracle>>,
        answers: Option<Arc<Answers>>,
        stop: Stop,
    ) -> Self {
        let headers = args.all_headers();
        let target = Target::new(&args.target, &headers);
        let nodes: Vec<_> =
            args.nodes_addr.iter().map(|node| Target::new(node, &headers)).collect();
        let cluster = Cluster::new(&target, &nodes);
        let targets = if nodes.is_empty() { vec![target] } else { nodes };
        Self { args, oracle, targets, cluster, answers, stop }
    }

    async fn report(&self) -> Report {
        let args = self.args;
        let mut rows = Vec::new();
        if args.all {
            // With --repeat as it is published, unless another one is asked for.
            let hot = if args.repeat > 1 { args.repeat } else { 10 };
            rows.extend(self.row("S1 hot", 1, hot, Caches::Hot).await);
            rows.extend(self.row("S1 cold", 1, 1, Caches::Cold).await);
            for (name, scenario) in [("S2 hot", 2), ("S3 hot", 3), ("S4 hot", 4)] {
                rows.extend(self.row(name, scenario, hot, Caches::Hot).await);
            }
        } else {
            let name = format!("S{}", args.scenario);
            rows.extend(self.row(&name, args.scenario, args.repeat, Caches::Kept).await);
        }
        let bases = if args.nodes_addr.is_empty() {
            std::slice::from_ref(&args.target)
        } else {
            &args.nodes_addr
        };
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            targets: bases.iter().map(ToString::to_string).collect(),
            seed: args.seed,
            verified: self.oracle.is_some(),
            rows,
        }
    }

    /// One row of the table; none where the harness was stopped before it was begun.
    async fn row(&self, name: &str, scenario: u8, repeat: u64, caches: Caches) -> Option<Row> {
        let args = self.args;
        let mut generator = Generator::new(scenario, args.seed, args.zipf);
        let workload = Arc::new(Workload::new(&mut generator, args.requests(), repeat));
        let unique = workload.queries.len() as u64;
        let mut plan = Plan {
            targets: self.targets.clone(),
            workload,
            concurrent: args.concurrent,
            requests: None,
            duration: None,
            rate: None,
            timeout: args.timeout,
            oracle: self.oracle.clone(),
            answers: None,
            stop: self.stop.clone(),
        };
        let first = if caches == Caches::Hot { unique.max(args.warmup) } else { args.warmup };
        if first > 0 {
            plan.requests = Some(first);
            run(&plan, Arc::new(Progress::new(&format!("{name} warm-up"), Some(first)))).await;
        }
        if self.stop.is_asked() {
            return None;
        }
        // After the requests that are sent first: they fill what is to be empty.
        if caches == Caches::Cold && !self.cluster.clear().await {
            eprintln!(
                "{name}: the caches could not be cleared; the figures are not of a cold start"
            );
        }
        plan.requests = args.limit();
        plan.duration = args.duration;
        plan.rate = args.rate;
        plan.answers = self.answers.clone();
        let before = self.cluster.hits().await;
        let progress = Arc::new(Progress::new(name, plan.requests));
        let shown = Arc::clone(&progress);
        let shower = tokio::spawn(async move { shown.show().await });
        let measured = run(&plan, progress).await;
        shower.abort();
        let after = self.cluster.hits().await;
        let hits = before.zip(after).and_then(|(before, after)| after.since(before));
        let about = About {
            name: name.to_owned(),
            scenario,
            unique,
            concurrent: args.concurrent,
            rate: args.rate,
            hits,
        };
        Some(Row::new(about, measured))
    }
}
