//! The memory limit of the control group that this process is in.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Above this a limit is none: version 1 writes "no limit" as the largest number of whole pages.
const NONE: u64 = 1 << 60;

/// The least limit among the groups that the process is in, in bytes. `root` is where control
/// groups are mounted, `own` the text of `/proc/self/cgroup`: version 2 has one line for all
/// (`0::/path`), version 1 one for each kind (`5:memory:/path`).
pub(super) fn of_group(root: &Path, own: &str) -> Option<u64> {
    let limits = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kinds, path) = (parts.next()?, parts.next()?);
        let (roots, file) = match kinds {
            "" => (vec![root.to_owned(), root.join("unified")], "memory.max"),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                (vec![root.join("memory")], "memory.limit_in_bytes")
            }
            _ => return None,
        };
        roots.iter().filter_map(|root| least(root, path, file)).min()
    });
    limits.min()
}

/// The least limit from the group at `path` up to the root. A container may see its own group as
/// the root and yet be told the path outside; what is not there has no say.
fn least(root: &Path, path: &str, file: &str) -> Option<u64> {
    let group = PathBuf::from(path.trim_start_matches('/'));
    let groups = group.ancestors().map(|group| root.join(group).join(file));
    let limits = groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.filter(|limit| *limit < NONE).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_takes_the_least_on_the_way_up() {
        let root = groups(&[
            ("a/memory.max", "1000\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/c/memory.max", "2000\n"),
            ("other/memory.max", "1\n"),
        ]);
        assert_eq!(of_group(root.path(), "0::/a/b/c\n"), Some(1000));
        assert_eq!(of_group(root.path(), "0::/\n"), None);
    }

    #[test]
    fn version_1_says_no_limit_by_a_number() {
        let own = "9:name=systemd:/x\n4:cpu,memory:/docker/1\n0::/\n";
        let unlimited = groups(&[("memory/docker/1/memory.limit_in_bytes", "9223372036854771712")]);
        assert_eq!(of_group(unlimited.path(), own), None);
        // As seen from inside a container.
        let inside = groups(&[("memory/memory.limit_in_bytes", "64000000")]);
        assert_eq!(of_group(inside.path(), own), Some(64_000_000));
        assert_eq!(of_group(inside.path(), ""), None);
    }
}
