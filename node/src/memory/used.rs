//! How much memory this process holds.

use std::fs;

/// Bytes that the process holds and nobody can take back: anonymous and shared pages, not those
/// of files, which the kernel drops when it is short. `None` where the system does not tell.
pub(super) fn bytes() -> Option<u64> {
    held(&fs::read_to_string("/proc/self/status").ok()?)
}

fn held(status: &str) -> Option<u64> {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    // Kernels before 4.5 tell the sum alone, pages of files included.
    let own = kibibytes("RssAnon:").map(|anon| anon + kibibytes("RssShmem:").unwrap_or(0));
    own.or_else(|| kibibytes("VmRSS:")).map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_do_not_count() {
        let status = "VmRSS:\t  900 kB\nRssAnon:\t  500 kB\nRssFile:\t 390 kB\nRssShmem:\t 10 kB\n";
        assert_eq!(held(status), Some(510 * 1024));
        assert_eq!(held("VmRSS:\t  900 kB\n"), Some(900 * 1024));
        assert_eq!(held("Name:\tx\n"), None);
    }

    #[test]
    fn what_is_allocated_shows() {
        let before = bytes().unwrap();
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(bytes().unwrap() >= before + (32 << 20), "{}", held.len());
    }
}
