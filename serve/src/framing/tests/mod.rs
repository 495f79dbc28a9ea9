//! The guard against examples, against a naive reading of the whole stream, and against noise.

mod examples;
mod generated;
mod naive;

use super::*;

const LIMITS: FramingLimits = FramingLimits { head_bytes: 2048, headers: 20, target_bytes: 256 };

/// Shows the stream in the pieces that `cuts` makes; gives what passed in all, heads, violation.
fn read(stream: &[u8], cuts: &[usize]) -> (usize, usize, Option<Violation>) {
    let mut guard = FramingGuard::new(LIMITS);
    let (mut passed, mut heads) = (0, 0);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(stream.len());
    for end in ends {
        if end < passed {
            continue;
        }
        let progress = guard.advance(&stream[passed..end]);
        passed += progress.passed;
        heads += progress.heads;
        if let Some(violation) = progress.violation {
            // It is said again, and nothing passes after it.
            let again = guard.advance(&stream[passed..]);
            assert_eq!((again.passed, again.violation), (0, Some(violation)));
            return (passed, heads, Some(violation));
        }
    }
    (passed, heads, None)
}
