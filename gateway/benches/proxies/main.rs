//! Whole processes: the gateway beside other proxies that do the same job, and its instructions per request.
//!
//!     cargo bench -p kamaitachi-gateway --bench proxies                     the table
//!     cargo bench -p kamaitachi-gateway --bench proxies -- instructions     callgrind; needs valgrind
//!
//! Options: `--seconds N` a round (default 5), `--rounds N` (5), `--connections N` (50), `--workers N` of each proxy (1),
//! `--gateway FILE` another build of the gateway.
//!
//! The job: strip `/data`, choose one of two nodes by a hash of the first of `subjects` in the JSON body, forward on
//! kept-alive connections. The gateway does it with its default stack (request ids, breakers, metrics, retries, forwarding
//! fields; rate limits lifted), the others with nothing but what the job needs. The nodes give a fixed answer from a
//! thread of this process, as does the load, so all share the machine's cores; what is compared is what a
//! proxy's process does with its own processor time. Rounds of the proxies alternate, and ratios are of rounds next to each
//! other.
#![allow(missing_docs, reason = "a program, not a library")]
mod contender;
mod instructions;
mod load;
mod table;
mod upstream;
mod wire;

use std::{path::PathBuf, process::ExitCode, time::Duration};

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) round: Duration,
    pub(crate) rounds: usize,
    pub(crate) connections: usize,
    pub(crate) workers: usize,
    pub(crate) gateway: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this, too, and wants no measurement.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: usize| {
        value(&arguments, name)
            .map_or(Ok(default), |text| text.parse().map_err(|_| name.to_owned()))
    };
    let options = || -> Result<Options, String> {
        Ok(Options {
            round: Duration::from_secs(number("--seconds", 5)? as u64),
            rounds: number("--rounds", 5)?,
            connections: number("--connections", 50)?,
            workers: number("--workers", 1)?,
            gateway: value(&arguments, "--gateway")
                .unwrap_or(env!("CARGO_BIN_EXE_kamaitachi-gateway"))
                .into(),
        })
    };
    let options = match options() {
        Ok(options) => options,
        Err(name) => {
            eprintln!("{name}: expected a number");
            return ExitCode::from(2);
        }
    };
    let result = if arguments.iter().any(|argument| argument == "instructions") {
        instructions::measure(&options)
    } else {
        table::measure(&options)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1).map(String::as_str)
}
