//! Numbers, texts and stored values as bytes.

use rusqlite::types::ValueRef;

/// The bytes do not tell what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a logged change cannot be read")]
pub(super) struct Unreadable;

const NULLS: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

/// Seven bits a byte, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// Small numbers of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, (number << 1 ^ number >> 63).cast_unsigned());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A row: how many values, then each; nulls in a row are counted, for wide tables hold little else.
pub(super) fn put_row<'v>(
    out: &mut Vec<u8>,
    count: usize,
    values: impl Iterator<Item = ValueRef<'v>>,
) {
    put_number(out, count as u64);
    let mut nulls = 0;
    for value in values {
        if value == ValueRef::Null {
            nulls += 1;
            continue;
        }
        put_nulls(out, std::mem::take(&mut nulls));
        match value {
            ValueRef::Null => {}
            ValueRef::Integer(number) => {
                out.push(INTEGER);
                put_signed(out, number);
            }
            ValueRef::Real(number) => {
                out.push(REAL);
                out.extend_from_slice(&number.to_le_bytes());
            }
            ValueRef::Text(text) => {
                out.push(TEXT);
                put_bytes(out, text);
            }
            ValueRef::Blob(bytes) => {
                out.push(BLOB);
                put_bytes(out, bytes);
            }
        }
    }
    put_nulls(out, nulls);
}

fn put_nulls(out: &mut Vec<u8>, count: u64) {
    if count > 0 {
        out.push(NULLS);
        put_number(out, count);
    }
}

/// Reads what the functions above wrote.
#[derive(Clone, Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64, Unreadable> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return Err(Unreadable);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub(super) fn signed(&mut self) -> Result<i64, Unreadable> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Unreadable> {
        let count = usize::try_from(self.number()?).map_err(|_| Unreadable)?;
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unreadable)
    }

    /// A row of at most `most` values.
    pub(super) fn row(&mut self, most: usize) -> Result<Vec<ValueRef<'b>>, Unreadable> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > most {
            return Err(Unreadable);
        }
        let mut row = Vec::with_capacity(count);
        while row.len() < count {
            match self.byte()? {
                NULLS => {
                    let nulls = usize::try_from(self.number()?).unwrap_or(usize::MAX);
                    if nulls > count - row.len() {
                        return Err(Unreadable);
                    }
                    row.extend(std::iter::repeat_n(ValueRef::Null, nulls));
                }
                INTEGER => row.push(ValueRef::Integer(self.signed()?)),
                REAL => {
                    let bytes = self.take(8)?.try_into().map_err(|_| Unreadable)?;
                    row.push(ValueRef::Real(f64::from_le_bytes(bytes)));
                }
                TEXT => row.push(ValueRef::Text(self.bytes()?)),
                BLOB => row.push(ValueRef::Blob(self.bytes()?)),
                _ => return Err(Unreadable),
            }
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::types::Value;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            3 => Just(Value::Null),
            1 => any::<i64>().prop_map(Value::Integer),
            1 => any::<f64>().prop_map(Value::Real),
            1 => ".{0,20}".prop_map(Value::Text),
            1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(values in prop::collection::vec(value(), 0..40), number: i64) {
            let mut out = Vec::new();
            put_row(&mut out, values.len(), values.iter().map(ValueRef::from));
            put_signed(&mut out, number);
            let mut reader = Reader::new(&out);
            let row = reader.row(40).unwrap();
            let mut again = Vec::new();
            put_row(&mut again, row.len(), row.into_iter());
            prop_assert_eq!(reader.signed(), Ok(number));
            prop_assert!(reader.is_empty());
            prop_assert_eq!(&again[..], &out[..again.len()]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.row(100).is_ok() && !reader.is_empty() {}
            let _ = (Reader::new(&bytes).number(), Reader::new(&bytes).text());
        }
    }
}
