//! Where the lines of a head end.
//!
//! Lines of a head are some thirty bytes long: too short for a search per line to earn back what
//! its setting up costs. So a head is looked at in blocks of 64 bytes, each giving one bit a byte
//! for "control character"; line ends are then read off those bits.

const BLOCK: usize = 64;

/// Reads the control characters off a head, or what there is of it.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// Where the block begins that the bits are of.
    base: usize,
    /// Where the next block begins.
    next: usize,
    controls: u64,
}

impl<'a> Lines<'a> {
    /// Reads on at `from`.
    pub(super) fn new(bytes: &'a [u8], from: usize) -> Self {
        Self { bytes, base: from, next: from, controls: 0 }
    }

    /// The first control character that is no tab: where a line ends, unless something is wrong.
    pub(super) fn control(&mut self) -> Option<usize> {
        while self.controls == 0 {
            let rest = self.bytes.get(self.next..).filter(|rest| !rest.is_empty())?;
            self.base = self.next;
            self.next += rest.len().min(BLOCK);
            self.controls = if let Some(block) = rest.first_chunk() {
                controls(block)
            } else {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                controls(&block)
            };
        }
        Some(self.base + self.controls.trailing_zeros() as usize)
    }

    /// Forgets what stands before `at`.
    pub(super) fn skip_to(&mut self, at: usize) {
        if at < self.next {
            self.controls &= u64::MAX << (at - self.base);
        } else {
            self.next = at;
            self.controls = 0;
        }
    }
}

/// One bit for each byte, the first byte's the lowest: is it a control character, and no tab?
fn controls(block: &[u8; BLOCK]) -> u64 {
    // The compiler makes vectors of this line …
    let flags = block.map(|b| u8::from(b < 0x20) & u8::from(b != b'\t') | u8::from(b == 0x7f));
    // … and this gathers the lowest bits of eight bytes in the highest byte of a product.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (words, _) = flags.as_chunks::<8>();
    words
        .iter()
        .rev()
        .fold(0, |bits, word| bits << 8 | u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::classes::is_control, *};

    proptest! {
        #[test]
        fn control_characters_are_found_one_by_one_wherever_reading_begins(
            bytes in proptest::collection::vec(
                prop_oneof![
                    any::<u8>(),
                    proptest::sample::select(b"\x00\x1f\x20\t\x7e\x7f\x80\xff:\r\n".to_vec()),
                ],
                0..300,
            ),
            from in 0..310_usize,
        ) {
            let mut lines = Lines::new(&bytes, from);
            let mut at = from;
            loop {
                let found = lines.control();
                prop_assert_eq!(found, (at..bytes.len()).find(|i| is_control(bytes[*i])));
                let Some(found) = found else { break };
                at = found + 2;
                lines.skip_to(at);
            }
        }
    }
}
