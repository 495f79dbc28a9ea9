//! The directory: names, rotation, and what to do with a file that is no good.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tempfile::NamedTempFile;

use super::{
    Header, HistoryId, Index, SaveError, Saved, SnapshotOptions, Unfit,
    format::{Key, Writer},
};
use crate::model::Revision;

const PREFIX: &str = "cache-";
const SUFFIX: &str = ".snapshot";
const DAMAGED: &str = ".damaged";
/// While a file is being written; what is found under such a name was never finished.
const UNFINISHED: &str = ".cache-unfinished-";

/// The snapshot files of one node. All methods block.
#[derive(Debug)]
pub struct SnapshotFiles {
    options: Arc<SnapshotOptions>,
    /// One at a time: the next number is the highest there is and one.
    saving: Mutex<()>,
    /// Whether the store they speak of is no more.
    retired: AtomicBool,
}

/// A file that looks whole as far as can be told without reading all of it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) index: Index,
}

impl SnapshotFiles {
    /// The files in the directory of `options`, which need not exist yet.
    #[must_use]
    pub fn new(options: impl Into<Arc<SnapshotOptions>>) -> Self {
        let retired = AtomicBool::new(false);
        Self { options: options.into(), saving: Mutex::new(()), retired }
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        self.options.key.as_ref()
    }

    /// Removes all, for the store they speak of is no more; what is saved from now on is not.
    pub(crate) fn retire(&self) {
        let _saving = self.saving.lock();
        self.retired.store(true, Ordering::SeqCst);
        self.prune(SUFFIX, 0);
    }

    /// Saves what `entries` writes, as of `revision` in `history`, and removes what is one too many.
    pub(crate) fn save(
        &self,
        revision: Revision,
        history: HistoryId,
        saved_at: i64,
        entries: impl Iterator<Item = impl FnOnce(&mut Vec<u8>)>,
    ) -> Result<Saved, SaveError> {
        let SnapshotOptions { dir, keep, compress, .. } = &*self.options;
        let _saving = self.saving.lock();
        if self.retired.load(Ordering::SeqCst) {
            return Err(SaveError::abandoned());
        }
        fs::create_dir_all(dir).map_err(SaveError::new("make", dir))?;
        self.remove_unfinished();
        let number = self.numbers(SUFFIX).first().map_or(1, |newest| newest.saturating_add(1));
        let path = dir.join(format!("{PREFIX}{number:08}{SUFFIX}"));
        let header = Header::new(revision, history, saved_at, *compress, self.key().is_some());
        let new = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(dir)
            .map_err(SaveError::new("make a file in", dir))?;
        let (new, entries) =
            self.write(new, header, entries).map_err(SaveError::new("write", &path))?;
        let bytes = new.as_file().metadata().map_or(0, |about| about.len());
        new.persist(&path).map_err(|error| SaveError::new("rename to", &path)(error.error))?;
        // The name, too, has to survive a power cut.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(SaveError::new("sync", dir))?;
        self.prune(SUFFIX, (*keep).max(1));
        self.prune(&format!("{SUFFIX}{DAMAGED}"), (*keep).max(1));
        Ok(Saved { path, entries, bytes })
    }

    fn write(
        &self,
        new: NamedTempFile,
        header: Header,
        entries: impl Iterator<Item = impl FnOnce(&mut Vec<u8>)>,
    ) -> std::io::Result<(NamedTempFile, usize)> {
        let mut writer = Writer::new(BufWriter::new(new), header, self.key())?;
        let mut saved = 0;
        for entry in entries {
            saved += usize::from(writer.entry(entry)?);
        }
        let mut out = writer.finish()?;
        out.flush()?;
        let new = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        new.as_file().sync_all()?;
        Ok((new, saved))
    }

    /// The newest file below `below` that looks whole, and its number. Damaged ones on the way are
    /// set aside. Also clears away what was never finished.
    pub(crate) fn newest(&self, below: u64) -> Option<(u64, Opened)> {
        self.remove_unfinished();
        for number in self.numbers(SUFFIX).into_iter().filter(|number| *number < below) {
            let path = self.options.dir.join(format!("{PREFIX}{number:08}{SUFFIX}"));
            match Index::open(&path) {
                Ok(index) => return Some((number, Opened { path, index })),
                Err(why) => refuse(&path, &why),
            }
        }
        None
    }

    /// The numbers of the files with this ending, highest first.
    fn numbers(&self, suffix: &str) -> Vec<u64> {
        let names = fs::read_dir(&self.options.dir).into_iter().flatten().flatten();
        let number = |entry: fs::DirEntry| {
            let name = entry.file_name();
            let digits = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(suffix)?;
            let plain = digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok())?
        };
        let mut numbers: Vec<u64> = names.filter_map(number).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
    }

    fn prune(&self, suffix: &str, keep: usize) {
        for number in self.numbers(suffix).into_iter().skip(keep) {
            let path = self.options.dir.join(format!("{PREFIX}{number:08}{suffix}"));
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "an old cache snapshot stays");
            }
        }
    }

    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.options.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // Nothing depends on it, and there will be another try.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Says why a file is not used, and sets it aside if it never can be.
pub(crate) fn refuse(path: &Path, why: &Unfit) {
    tracing::warn!(file = %path.display(), %why, "a cache snapshot is not used");
    if matches!(why, Unfit::Damaged(_) | Unfit::Cut) {
        set_aside(path);
    }
}

/// Renames a file so that it is never tried again, and still there to be looked at.
pub(crate) fn set_aside(path: &Path) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(DAMAGED);
    if let Err(error) = fs::rename(path, &aside) {
        tracing::warn!(file = %path.display(), %error, "a cache snapshot cannot be set aside");
    }
}
