//! A copy on its way into the place of a store.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::store::{Mark, adopt};

/// Pieces between the network and the disk.
const PIECES: usize = 8;

/// A file that a copy is written to. Dropped before its end it is removed at the next try.
#[derive(Debug)]
pub(super) struct Incoming {
    path: PathBuf,
    size: u64,
    pieces: mpsc::Sender<Bytes>,
    writing: JoinHandle<io::Result<(u64, u32)>>,
}

impl Incoming {
    /// Of a copy of `size` bytes; whatever is at `path` goes.
    pub(super) fn create(path: &Path, size: u64) -> io::Result<Self> {
        remove(path)?;
        let file = File::options().write(true).create_new(true).open(path)?;
        let (pieces, mut queue) = mpsc::channel::<Bytes>(PIECES);
        let writing = tokio::task::spawn_blocking(move || {
            let (mut file, mut written, mut sum) = (file, 0, crc32fast::Hasher::new());
            while let Some(piece) = queue.blocking_recv() {
                sum.update(&piece);
                file.write_all(&piece)?;
                written += piece.len() as u64;
            }
            Ok((written, sum.finalize()))
        });
        Ok(Self { path: path.to_owned(), size, pieces, writing })
    }

    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        if self.pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // The disk failed; the thread tells how.
        match (&mut self.writing).await {
            Ok(Err(error)) => Err(error),
            _ => Err(io::Error::other("the copy could not be written")),
        }
    }

    /// Looks whether it is the copy it should be, and makes it a store that follows.
    pub(super) async fn finish(self, sum: u32, mark: &Mark) -> Result<(), String> {
        let Self { path, size, pieces, writing } = self;
        drop(pieces);
        let written = writing.await.map_err(|error| error.to_string())?;
        let written = written.map_err(|error| error.to_string())?;
        if written != (size, sum) {
            return Err(format!(
                "{} bytes came, not the {size} announced, or not these",
                written.0
            ));
        }
        let mark = mark.clone();
        let checking = tokio::task::spawn_blocking(move || {
            adopt(&path, &mark).map_err(|error| error.to_string())?;
            // Only what is on the disk may take the place of what was there.
            File::open(&path).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
        });
        checking.await.map_err(|error| error.to_string())?
    }
}

/// Puts the file `from` in the place of the database at `to`, which nobody has open. With `aside`
/// what was there is kept beside it, as `.aside`, in the place of what lay there before.
///
/// Whatever happens in between, `to` is what it was, is missing, or is the new file: never the new
/// file with a log of the old.
///
/// # Errors
/// If the disk fails.
pub fn install(from: &Path, to: &Path, aside: bool) -> io::Result<()> {
    let log = with(to, "-wal");
    // A log that could not be folded, because another process reads, goes with its file.
    let unfolded = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    if to.exists() && (aside || unfolded) {
        let kept = with(to, ".aside");
        remove(&kept)?;
        fs::rename(to, &kept)?;
        if unfolded {
            fs::rename(&log, with(&kept, "-wal"))?;
        }
        tracing::warn!(file = %kept.display(), "the former database is set aside");
    }
    for suffix in ["-wal", "-shm", "-journal"] {
        absent(fs::remove_file(with(to, suffix)))?;
    }
    fs::rename(from, to)?;
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Where the copy for the database at `path` is written.
#[must_use]
pub fn incoming(path: &Path) -> PathBuf {
    with(path, ".incoming")
}

/// Removes a database with all that belongs to it.
fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        absent(fs::remove_file(with(path, suffix)))?;
    }
    Ok(())
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_goes_with_its_log_or_is_kept_aside_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let put = |name: &str| fs::write(at(name), name).unwrap();
        let read = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
        put("a.db.incoming");
        install(&at("a.db.incoming"), &at("a.db"), true).unwrap();
        assert_eq!((read("a.db"), at("a.db.aside").exists()), ("a.db.incoming".into(), false));
        put("b");
        fs::write(at("a.db-wal"), "").unwrap();
        install(&at("b"), &at("a.db"), false).unwrap();
        assert_eq!((&*read("a.db"), at("a.db-wal").exists()), ("b", false));
        assert!(!at("a.db.aside").exists());
        put("c");
        put("a.db-wal");
        install(&at("c"), &at("a.db"), false).unwrap();
        assert_eq!(
            [read("a.db"), read("a.db.aside"), read("a.db.aside-wal")],
            ["c", "b", "a.db-wal"]
        );
        put("d");
        install(&at("d"), &at("a.db"), true).unwrap();
        assert_eq!([read("a.db"), read("a.db.aside")], ["d", "c"]);
        assert!(!at("a.db.aside-wal").exists() && !at("a.db-wal").exists());
    }
}
