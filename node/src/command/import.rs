//! `import`: the rows of a file into a database.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    path::{Path, PathBuf},
};

use kamaitachi_node::store::{ImportError, Options, Store, import};
use kamaitachi_serve::exit::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// CSV or NDJSON file, by its extension; `.gz` after it is unpacked.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Register indicators that are new, instead of refusing them.
    #[arg(long)]
    create_indicators: bool,
}

pub(super) fn run(args: &Args, db: &Path) -> Result<(), Failure> {
    super::make_directory(db)?;
    super::runtime()?.block_on(async {
        let store = Store::open(Options::new(db)).await.map_err(Failure::failed)?;
        let terminal = stderr().is_terminal();
        let summary = import(&store, &args.from, args.create_indicators, |rows| {
            if terminal {
                // Progress is for people; who cannot see it misses nothing.
                let _ = write!(stderr(), "\r{rows} rows");
            }
        })
        .await;
        store.close().await;
        let summary = summary.map_err(|error| match error {
            ImportError::Format(_) => Failure::usage(error),
            ImportError::Rows { .. } | ImportError::Store { .. } => Failure::failed(error),
        })?;
        println!("{}: {} rows, revision {}", db.display(), summary.rows, summary.revision);
        Ok(())
    })
}
