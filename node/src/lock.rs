//! One node to a database file.
//!
//! Two nodes on one file would each answer from a cache that does not hear of the other's writes
//! in time, and save their snapshots over each other's. So a node holds a lock on a file beside
//! the database, `DATABASE.lock`, for as long as it runs. The kernel gives it back however the
//! process ends; the file stays, and means nothing by itself.
//!
//! Tools (`check`, `import`, a `sqlite3` shell) take no part: the store lets others write. The
//! lock is not on the database itself, because closing a second descriptor of that file would drop
//! SQLite's own locks.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

/// The right to be the node of a database file; given back when it drops.
#[derive(Debug)]
pub struct DatabaseLock {
    _held: Option<File>,
}

/// Why a node may not have a database file.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another node has it.
    #[error("{}: in use by another node ({holder} holds {})", database.display(), lock.display())]
    Taken {
        /// The database.
        database: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
        /// Which process that is, as far as it said.
        holder: String,
    },
    /// The file beside it can't be made.
    #[error("{}: cannot be made, so nothing tells whether another node uses the database: {source}", lock.display())]
    Unusable {
        /// The file that was to be locked.
        lock: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DatabaseLock {
    /// Takes the lock of `database`, which need not exist yet; its directory must. Names that lead
    /// to one file through symbolic links have one lock.
    ///
    /// A file system that knows no locks is warned of and used without one.
    ///
    /// # Errors
    /// Another node has it, in this process or any other, or the file system takes no file.
    pub fn take(database: &Path) -> Result<Self, LockError> {
        let lock = beside(&followed(database));
        let unusable = |source| LockError::Unusable { lock: lock.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&lock).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let database = database.to_owned();
                return Err(LockError::Taken { database, holder: holder(&mut file), lock });
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(lock = %lock.display(), %error, "nothing keeps a second node off the database");
                return Ok(Self { _held: None });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // For whoever finds it taken; a full disk is no reason not to start.
        let _ = sign(&mut file);
        Ok(Self { _held: Some(file) })
    }
}

/// The file that a name stands for, whether it is there yet or not.
fn followed(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new(".")).canonicalize();
        match (dir, path.file_name()) {
            (Ok(dir), Some(name)) => dir.join(name),
            _ => path.to_owned(),
        }
    })
}

fn beside(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".lock");
    name.into()
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => "a process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_node_is_refused_under_every_name_of_the_file_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let [path, other] = ["node.db", "other.db"].map(|name| dir.path().join(name));
        File::create(&path).unwrap();
        std::os::unix::fs::symlink(&path, &other).unwrap();
        let first = DatabaseLock::take(&path).unwrap();
        for name in [&path, &other, &dir.path().join("../").join(dir.path()).join("node.db")] {
            let error = DatabaseLock::take(name).unwrap_err().to_string();
            let process = format!("process {}", std::process::id());
            assert!(
                error.contains("in use by another node") && error.contains(&process),
                "{error}"
            );
        }
        drop(first);
        DatabaseLock::take(&other).unwrap();
    }

    #[test]
    fn a_file_that_a_dead_node_left_locks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.db");
        std::fs::write(dir.path().join("node.db.lock"), "4194304\n").unwrap();
        drop(DatabaseLock::take(&path).unwrap());
        DatabaseLock::take(&path).unwrap();
        DatabaseLock::take(&dir.path().join("none/node.db")).unwrap_err();
    }
}
