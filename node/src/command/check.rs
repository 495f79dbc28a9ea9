//! `check`: is this configuration good, is this database sound?

use std::path::Path;

use kamaitachi_node::{config::Config, store};
use kamaitachi_serve::{config::Env, exit::Failure};

pub(super) fn run(config: Option<&Path>, db: Option<&Path>) -> Result<(), Failure> {
    if config.is_none() && db.is_none() {
        return Err(Failure::usage("check needs --config FILE or --db FILE, or both"));
    }
    if let Some(path) = config {
        let checked = Config::load(Some(path), None, &Env::of_process());
        checked.map_err(|error| Failure::usage(error.report()))?;
        println!("{}: good", path.display());
    }
    if let Some(path) = db {
        let report = store::check(path).map_err(Failure::failed)?;
        println!("{}:\n{report}", path.display());
        if !report.is_sound() {
            return Err(Failure::failed(format_args!("{}: not sound", path.display())));
        }
    }
    Ok(())
}
