//! `sample`: a database to try things on.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    path::PathBuf,
};

use kamaitachi_node::sample::{SampleError, SampleOptions, generate};
use kamaitachi_serve::exit::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many subjects.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    stocks: u32,
    /// First year.
    #[arg(long, value_name = "YEAR", default_value_t = 2015)]
    from_year: i64,
    /// Last year.
    #[arg(long, value_name = "YEAR", default_value_t = 2024)]
    to_year: i64,
    /// How many rows in all; a row for every quarter unless given.
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Another seed gives other figures.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Replace a file that is there already.
    #[arg(long)]
    overwrite: bool,
}

pub(super) fn run(args: &Args, db: PathBuf) -> Result<(), Failure> {
    let options = SampleOptions {
        stocks: args.stocks,
        from_year: args.from_year,
        to_year: args.to_year,
        rows: args.rows,
        seed: args.seed,
        overwrite: args.overwrite,
        db,
    };
    super::make_directory(&options.db)?;
    let terminal = stderr().is_terminal();
    let mut told = 0;
    let summary = generate(&options, |done, all| {
        let percent = done * 100 / all.max(1);
        if terminal && percent != told {
            told = percent;
            // Progress is for people; who cannot see it misses nothing.
            let _ = write!(stderr(), "\r{percent:>3} %");
        }
    });
    if terminal {
        let _ = write!(stderr(), "\r");
    }
    let summary = summary.map_err(|error| match error {
        SampleError::Option(_) => Failure::usage(error),
        SampleError::Exists(_) | SampleError::File { .. } | SampleError::Database { .. } => {
            Failure::failed(error)
        }
    })?;
    println!(
        "{}: {} rows of {} subjects, {} tags, {:.1} MB",
        options.db.display(),
        summary.rows,
        summary.stocks,
        summary.tags,
        f64::from(u32::try_from(summary.bytes / 100_000).unwrap_or(u32::MAX)) / 10.0
    );
    Ok(())
}
