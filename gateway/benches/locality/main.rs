//! What a cluster's caches hold, and how often that is enough, with each locality: the table of `docs/locality.md`.
//!
//!     cargo bench -p kamaitachi-gateway --bench locality
//!
//! Options: `--stocks N` companies (default 2000), `--subjects N` of one request (20), `--requests N` (3000),
//! `--nodes N` (3), `--connections N` (8).
//!
//! Nodes and gateway run in this process over real sockets, each node on its own copy of the same generated data. Each
//! request asks about so many companies drawn evenly from all, with four indicators: the newest rows, as scenario 3 of the
//! load harness does, or ten years. The same requests are sent in each round, to nodes that know nothing at first. The first rounds
//! have room for everything; in the others each node has room for half of what all subjects together take.
#![allow(missing_docs, reason = "a program, not a library")]
mod cluster;
mod load;

use std::{io, process::ExitCode};

use cluster::{Cluster, Held};
use load::{Asked, Outcome};

/// More bytes than any round takes.
const ENOUGH: u64 = 1 << 30;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) stocks: u32,
    pub(crate) subjects: usize,
    pub(crate) requests: usize,
    pub(crate) nodes: usize,
    pub(crate) connections: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this, too, and wants no measurement.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        let text = at.and_then(|at| arguments.get(at + 1));
        text.map_or(Ok(default), |text| text.parse().map_err(|_| format!("{name}: no number")))
    };
    let options = || -> Result<Options, String> {
        Ok(Options {
            stocks: u32::try_from(number("--stocks", 2_000)?).map_err(|e| e.to_string())?,
            subjects: number("--subjects", 20)?,
            requests: number("--requests", 3_000)?,
            nodes: number("--nodes", 3)?,
            connections: number("--connections", 8)?,
        })
    };
    match options().map_err(io::Error::other).and_then(measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let data = cluster::Data::make(options).await?;
        println!(
            "{} nodes, {} companies, {} requests about {} each\n",
            options.nodes, options.stocks, options.requests, options.subjects
        );
        println!("| question | room of a node | locality | held in all | subjects held | subject hits | request hits | P50 | P99 |");
        println!("|---|---|---|---|---|---|---|---|---|");
        for asked in [Asked::Newest, Asked::TenYears] {
            let mut all = 0_u64;
            for tight in [false, true] {
                for locality in ["first-subject", "per-subject"] {
                    let room = if tight { all / 2 } else { ENOUGH };
                    let cluster = Cluster::start(&data, locality, usize::try_from(room).unwrap_or(usize::MAX)).await?;
                    let outcome = load::run(cluster.gateway(), &data.subjects, asked, options).await?;
                    let held = cluster.held();
                    row(asked, room, locality, held, &outcome);
                    // What all subjects take, held once.
                    all = if tight { all } else { held.bytes };
                }
            }
        }
        Ok(())
    })
}

fn row(asked: Asked, room: u64, locality: &str, held: Held, outcome: &Outcome) {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let (mib, percent) = (
        |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        |part: u64, of: u64| format!("{:.1} %", 100.0 * part as f64 / of.max(1) as f64),
    );
    let Held { bytes, entries, subject_hits, subject_misses } = held;
    println!(
        "| {} | {} | {locality} | {} | {entries} | {} | {} | {:.2} ms | {:.2} ms |",
        asked.name(),
        if room == ENOUGH { "enough".to_owned() } else { mib(room) },
        mib(bytes),
        percent(subject_hits, subject_hits + subject_misses),
        percent(outcome.hits, outcome.answers()),
        outcome.millis(50),
        outcome.millis(99),
    );
}
