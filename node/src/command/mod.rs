//! The command line: serve, or one of the tools for a database file.

mod check;
mod group;
mod import;
mod sample;
mod serve;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use kamaitachi_node::cli::{self, CliArgs, Problem};
use kamaitachi_serve::exit::{self, Completions, Failure};

/// Answers time-series queries over HTTP from data-aware caches over a SQLite file.
///
/// Without a subcommand it serves, by the configuration file given, else by defaults; every key
/// can be overridden by the environment (`KAMAITACHI__SERVER__PORT=8090`).
#[derive(Debug, Parser)]
#[command(name = "kamaitachi-node", version)]
struct Cli {
    /// Configuration file: TOML, or INI by its extension.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// SQLite file; wins over the configuration's `[database] path`.
    #[arg(long, value_name = "FILE", global = true)]
    db: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a database of generated data, the same for a seed on every machine.
    Sample(sample::Args),
    /// Writes the rows of a CSV or NDJSON file into a database.
    Import(import::Args),
    /// Checks a configuration (`--config`), a database (`--db`), or both.
    Check,
    /// Talks to a node of a cache group: a prompt, or one command.
    Cli(Box<CliArgs>),
    /// Serves a cache group to its peers and clients (`--config conf/group.toml`).
    Group(group::Args),
    /// Writes shell completions to standard output.
    Completions(Completions),
}

pub(crate) fn run() -> Result<(), Failure> {
    let Cli { config, db, command } = exit::parse()?;
    match command {
        None => serve::run(config.as_deref(), db),
        Some(Command::Sample(args)) => sample::run(&args, required(db, "sample")?),
        Some(Command::Import(args)) => import::run(&args, &required(db, "import")?),
        Some(Command::Check) => check::run(config.as_deref(), db.as_deref()),
        Some(Command::Cli(args)) => cli::run(*args).map_err(|problem| match problem {
            Problem::Usage(_) => Failure::usage(problem),
            _ => Failure::failed(problem),
        }),
        Some(Command::Group(args)) => group::run(&args, config.as_deref()),
        Some(Command::Completions(completions)) => completions.print::<Cli>(),
    }
}

fn required(db: Option<PathBuf>, command: &str) -> Result<PathBuf, Failure> {
    db.ok_or_else(|| Failure::usage(format_args!("{command} needs --db FILE")))
}

/// Makes the directory that `file` is to be in.
fn make_directory(file: &Path) -> Result<(), Failure> {
    let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    let failed = |error| Failure::failed(format_args!("{}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)
}

/// A runtime for a tool that does one thing.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn files_may_be_named_before_and_after_the_subcommand() {
        for arguments in [["node", "--db", "x", "check"], ["node", "check", "--db", "x"]] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.db.as_deref(), Some(std::path::Path::new("x")));
        }
        assert!(Cli::try_parse_from(["node", "import", "--db", "x"]).is_err(), "--from is needed");
    }
}
