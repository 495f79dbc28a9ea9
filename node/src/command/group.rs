//! `group`: a cache group's server, and what keeps it from joining.

use std::{path::Path, thread};

use clap::Subcommand;
use kamaitachi_node::group::{
    config::Config,
    process::{Process, examine},
};
use kamaitachi_serve::{config::Env, exit::Failure, logs, service_manager, shutdown::Drain};
use tokio::runtime::{Builder, Runtime};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Takes the steps of a start, one by one, and names the one that hangs and why.
    Doctor,
}

pub(super) fn run(args: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(path, &Env::of_process())?;
    match args.command {
        None => {
            logs::init(&config.log_level, config.log_format).map_err(Failure::usage)?;
            runtime(&config)?.block_on(serve(config))
        }
        Some(Command::Doctor) => runtime(&config)?.block_on(doctor(&config, path)),
    }
}

fn runtime(config: &Config) -> Result<Runtime, Failure> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = config.workers.unwrap_or(cores);
    let mut builder = Builder::new_multi_thread();
    Ok(builder.worker_threads(workers).thread_name("group").enable_all().build()?)
}

async fn serve(config: Config) -> Result<(), Failure> {
    let drain = Drain::on_signals()?;
    let deadline = config.drain;
    let mut process = tokio::select! {
        started = Process::start(config) => started.map_err(Failure::failed)?,
        () = drain.requested() => return Ok(()),
    };
    service_manager::ready(&format!("group serves on {}", process.local_addr()));
    tokio::select! {
        () = drain.requested() => {}
        () = process.failed() => return Err(Failure::failed("the server ended; the log has the cause")),
    }
    tokio::select! {
        _ = process.drain(deadline) => {}
        () = drain.stopped() => {}
    }
    Ok(())
}

async fn doctor(config: &Config, path: Option<&Path>) -> Result<(), Failure> {
    let file = path.map_or_else(|| "defaults".into(), |path| path.display().to_string());
    println!("ok    configuration: {file}");
    let findings = examine(config).await;
    for finding in &findings {
        let verdict = if finding.good { "ok   " } else { "FAIL " };
        println!("{verdict} {}: {}", finding.step, finding.said);
    }
    match findings.iter().find(|finding| !finding.good) {
        None => Ok(()),
        Some(first) => Err(Failure::failed(format_args!("{}: {}", first.step, first.said))),
    }
}
