//! JSON as one writer writes it, taken from the front piece by piece.

use serde::Deserialize;

use crate::cache::stock_data_map::InvalidParts;

/// Powers of ten that are doubles exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// What is left to read.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes just this.
    pub(super) fn take(&mut self, text: &[u8]) -> Result<(), InvalidParts> {
        if self.taken(text) { Ok(()) } else { Err(InvalidParts::NotAnEntry) }
    }

    /// Takes just this if it is what comes next.
    pub(super) fn taken(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes `[`, what `each` takes, commas between, and `]`.
    pub(super) fn list(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), InvalidParts>,
    ) -> Result<(), InvalidParts> {
        self.take(b"[")?;
        if self.taken(b"]") {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.taken(b",") {
                return self.take(b"]");
            }
        }
    }

    /// Takes any JSON value that is a `T`: for what is small.
    pub(super) fn json<T: Deserialize<'a>>(&mut self) -> Result<T, InvalidParts> {
        let mut values = serde_json::Deserializer::from_slice(self.rest).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                self.rest = &self.rest[values.byte_offset()..];
                Ok(value)
            }
            _ => Err(InvalidParts::NotAnEntry),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, InvalidParts> {
        let mut number = 0_u64;
        let mut at = 0;
        while let Some(digit @ b'0'..=b'9') = self.rest.get(at) {
            let longer =
                number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')));
            number = longer.ok_or(InvalidParts::NotAnEntry)?;
            at += 1;
        }
        self.rest = &self.rest[at..];
        if at > 0 { Ok(number) } else { Err(InvalidParts::NotAnEntry) }
    }

    pub(super) fn signed(&mut self) -> Result<i64, InvalidParts> {
        let negative = self.taken(b"-");
        let size = self.unsigned()?;
        let number = if negative { 0_i64.checked_sub_unsigned(size) } else { size.try_into().ok() };
        number.ok_or(InvalidParts::NotAnEntry)
    }

    /// Takes a finite number, to the nearest double.
    ///
    /// Up to 2⁵³ over a power of ten that is exact, one division rounds right (Clinger, *How to
    /// Read Floating Point Numbers Accurately*); all else is left to the standard library.
    pub(super) fn number(&mut self) -> Result<f64, InvalidParts> {
        let negative = usize::from(self.rest.first() == Some(&b'-'));
        let (whole, end) = digits(self.rest, negative, 0);
        let (all, last) = match self.rest.get(end) {
            Some(b'.') => digits(self.rest, end + 1, whole),
            _ => (whole, end),
        };
        let behind = last.saturating_sub(end + 1);
        // Nineteen digits are below 2⁶⁴, so nothing was lost on the way.
        let plain = end > negative
            && last - negative <= 19
            && (last == end || behind > 0)
            && !matches!(self.rest.get(last), Some(b'e' | b'E'));
        if !plain || all > 1 << f64::MANTISSA_DIGITS {
            return self.any_number();
        }
        self.rest = &self.rest[last..];
        #[expect(clippy::cast_precision_loss, reason = "at most 2⁵³")]
        let size = all as f64 / EXACT[behind];
        Ok(if negative == 1 { -size } else { size })
    }

    #[cold]
    fn any_number(&mut self) -> Result<f64, InvalidParts> {
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let end = self.rest.iter().position(|byte| !part(byte)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.filter(|number: &f64| number.is_finite()).ok_or(InvalidParts::NotAnEntry)
    }

    /// Takes a string and gives it as it stands, in its quotes: it is JSON as it is.
    pub(super) fn string(&mut self) -> Result<&'a [u8], InvalidParts> {
        if self.rest.first() != Some(&b'"') {
            return Err(InvalidParts::Facts);
        }
        let end = 1 + plain(&self.rest[1..]);
        let end = match self.rest.get(end) {
            Some(b'"') => end + 1,
            _ => special(self.rest).ok_or(InvalidParts::Facts)?,
        };
        let (string, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(string)
    }
}

/// Goes on with a number whose digits so far are `all` from `at` to where no digit is; what does
/// not fit into it wraps.
fn digits(bytes: &[u8], mut at: usize, mut all: u64) -> (u64, usize) {
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        all = all.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (all, at)
}

/// How many bytes there are before the first that is not plain ASCII inside of a JSON string;
/// eight at a time, as in "Determine if a word has a byte less than n" (Anderson, *Bit Twiddling
/// Hacks*).
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, byte: u64| word.wrapping_sub(ONES * byte) & !word;
    let mut at = 0;
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let slash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let stop = (quote | slash | below(word, 0x20) | word) & HIGH;
        if stop != 0 {
            return at + stop.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let stop = |byte: &u8| !matches!(byte, 0x20..0x7f) || matches!(byte, b'"' | b'\\');
    at + bytes[at..].iter().position(stop).unwrap_or(bytes.len() - at)
}

/// The length of the string at the front of `bytes`, whatever is in it.
#[cold]
fn special(bytes: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<String>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Result<f64, InvalidParts> {
        Scan::new(text.as_bytes()).number()
    }

    proptest! {
        #[test]
        fn every_double_comes_back_bit_by_bit(
            value in prop_oneof![
                any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()),
                any::<i32>().prop_map(|value| f64::from(value) / 100.0),
            ],
        ) {
            let text = ryu::Buffer::new().format_finite(value).to_owned();
            prop_assert_eq!(number(&text).unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn decimal_text_is_read_as_the_standard_library_reads_it(
            text in "-?[0-9]{1,22}(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?",
        ) {
            let wanted: f64 = text.parse().unwrap();
            prop_assert_eq!(number(&text).unwrap().to_bits(), wanted.to_bits());
        }

        #[test]
        fn a_string_is_taken_just_where_json_has_one(
            inside in "([ -~]|[à-ö]|\\\\|\"|\n){0,40}",
        ) {
            let text = format!("\"{inside},\"");
            let bytes = text.as_bytes();
            let mut scan = Scan::new(bytes);
            let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<String>();
            match values.next().unwrap() {
                Ok(_) => prop_assert_eq!(scan.string().unwrap(), &bytes[..values.byte_offset()]),
                Err(_) => prop_assert_eq!(scan.string(), Err(InvalidParts::Facts)),
            }
        }
    }

    #[test]
    fn takes_no_number_that_json_could_not_write() {
        for text in ["", "-", ".", "1e", "1e999", "-1e999", "null", "x", "+", "NaN", "inf"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
