//! Pieces of answers, followed until they have left.

use std::{fmt, rc::Rc};

use bytes::{Buf, Bytes};

use super::requests::Request;

/// Bytes of an HTTP/2 answer that are on their way to the socket.
pub(super) struct Piece {
    bytes: Bytes,
    request: Rc<Request>,
}

impl Piece {
    /// `bytes` that count as held by `request`.
    pub(super) fn new(bytes: Bytes, request: Rc<Request>) -> Self {
        Self { bytes, request }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, n: usize) {
        self.bytes.advance(n);
        if n > 0 {
            self.request.took(n);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.request.release(self.bytes.len());
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}
