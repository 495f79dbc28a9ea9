//! What goes back with an answer because it is known better here.

use prost::Message;

use crate::group::proto::Write;

/// Bytes of it, as they are sent.
const BYTES: usize = 1 << 20;
/// What stands before a write in a message: its number, and its length.
const BEFORE: usize = 6;

/// Writes that go back with an answer: together no more than the asker takes. What has no room is
/// told another time, here or by the comparison that this peer makes.
#[derive(Debug, Default)]
pub(crate) struct Newer {
    writes: Vec<Write>,
    bytes: usize,
}

impl Newer {
    /// Whether nothing more has room.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BYTES
    }

    /// Takes a write, if there is one and it has room. The first has, however long it is.
    pub(crate) fn extend(&mut self, write: Option<Write>) {
        let Some(write) = write else { return };
        let bytes = self.bytes + BEFORE + write.encoded_len();
        if self.writes.is_empty() || bytes <= BYTES {
            self.writes.push(write);
            self.bytes = bytes;
        }
    }

    /// Those that had room.
    pub(crate) fn into_writes(self) -> Vec<Write> {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::group::{MAX_VALUE, peers::MAX_MESSAGE, proto::ReconcileReply};

    fn write(key: usize, value: usize) -> Write {
        Write {
            group: "a group".into(),
            key: "k".repeat(key),
            value: vec![0; value].into(),
            ttl_ms: u64::MAX,
            ..Write::default()
        }
    }

    proptest! {
        #[test]
        fn an_answer_is_never_longer_than_a_message_and_never_empty(
            sizes in prop::collection::vec((1..1025_usize, prop_oneof![
                0..99_usize, 0..(600_usize << 10), Just(MAX_VALUE),
            ]), 1..12),
        ) {
            let mut newer = Newer::default();
            sizes.iter().for_each(|(key, value)| newer.extend(Some(write(*key, *value))));
            let reply = ReconcileReply { wanted: vec![u32::MAX; 16_384], newer: newer.into_writes() };
            prop_assert!(!reply.newer.is_empty());
            prop_assert!(reply.encoded_len() <= MAX_MESSAGE, "{}", reply.encoded_len());
        }
    }
}
