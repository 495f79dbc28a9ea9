//! The databases of the embedded cluster: generated once, then kept.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use kamaitachi_node::sample::{self, SampleOptions};
use kamaitachi_serve::exit::Failure;

/// The file that tells which sample a folder holds. A folder with databases and without it is
/// somebody else's.
const STAMP: &str = "demo.txt";

/// A folder with a database for each node.
#[derive(Debug)]
pub(super) struct Made {
    dir: PathBuf,
}

impl Made {
    /// The master's database.
    pub(super) fn master(&self) -> PathBuf {
        self.dir.join("master.db")
    }

    /// The database of the slave of that number, from 1.
    pub(super) fn slave(&self, number: u16) -> PathBuf {
        self.dir.join(format!("slave{number}.db"))
    }
}

/// Sees to it that the master has its database: that of a demo of the same size as it was left, else
/// a new one. The slaves get theirs from the master.
pub(super) fn prepare(dir: &Path, stocks: u32) -> Result<Made, Failure> {
    let made = Made { dir: dir.to_owned() };
    let failed = |error: io::Error| Failure::failed(format!("{}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(failed)?;
    let stamp = dir.join(STAMP);
    let wanted = format!("stocks = {stocks}\n");
    match fs::read_to_string(&stamp) {
        Ok(found) if found == wanted => {}
        Ok(_) => {
            clear(dir).map_err(failed)?;
            generate(&made, stocks)?;
            fs::write(&stamp, wanted).map_err(failed)?;
        }
        Err(_) if made.master().exists() => {
            return Err(Failure::usage(format!(
                "{}: was not made by a demo, so it is left alone; choose another folder with --dir",
                made.master().display()
            )));
        }
        Err(_) => {
            generate(&made, stocks)?;
            fs::write(&stamp, wanted).map_err(failed)?;
        }
    }
    Ok(made)
}

fn generate(made: &Made, stocks: u32) -> Result<(), Failure> {
    let _ = writeln!(io::stderr(), "Generating data of {stocks} companies …");
    let options = SampleOptions { stocks, ..SampleOptions::new(made.master()) };
    sample::generate(&options, |_, _| {}).map_err(Failure::failed)?;
    Ok(())
}

/// Removes what a demo made.
fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let ours = name == STAMP || name.starts_with("master.db") || name.starts_with("slave");
        if ours && path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if ours {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_demo_serves_what_the_first_left_and_another_size_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let made = prepare(dir.path(), 8).unwrap();
        fs::write(made.master(), "changed").unwrap();
        fs::write(made.slave(1), "a slave's").unwrap();
        prepare(dir.path(), 8).unwrap();
        assert_eq!(fs::read(made.master()).unwrap(), b"changed");
        assert!(made.slave(1).exists());
        prepare(dir.path(), 9).unwrap();
        assert_ne!(fs::read(made.master()).unwrap(), b"changed");
        assert!(!made.slave(1).exists());
    }

    #[test]
    fn a_folder_with_somebody_elses_database_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("master.db");
        fs::write(&theirs, "precious").unwrap();
        prepare(dir.path(), 8).unwrap_err();
        assert_eq!(fs::read(theirs).unwrap(), b"precious");
    }
}
