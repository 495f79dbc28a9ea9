//! Random numbers that are the same on every machine and in every version.

/// `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014;
/// constants as in Vigna's <https://prng.di.unimi.it/splitmix64.c>).
///
/// Not a crate's generator: none promises the same numbers for ever, and a sample is to be the
/// same years later.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The numbers for one thing among many, such as the year of a subject.
    pub(super) fn of(seed: u64, parts: [u64; 2]) -> Self {
        let mut rng = Self(seed);
        for part in parts {
            rng.0 = rng.next().wrapping_add(part.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        rng
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `low..=high`. The bias of the remainder is far below what a sample could show.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low) + 1;
        low.saturating_add_unsigned(self.next() % span)
    }

    /// One of several.
    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        let n = self.next() % of.len() as u64;
        &of[usize::try_from(n).unwrap_or(0)]
    }

    /// True `n` times in a thousand.
    pub(super) fn per_mille(&mut self, n: u64) -> bool {
        self.next() % 1_000 < n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_numbers_of_the_reference_implementation() {
        // First outputs of splitmix64.c for the seed 1234567.
        let mut rng = Rng(1_234_567);
        let numbers = [rng.next(), rng.next(), rng.next()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
