//! How values travel between peers, and what they weigh.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// Turns values into bytes and back.
///
/// A group that has no peers never encodes a value unless its codec does so to weigh it.
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// The value as peers get it.
    ///
    /// # Errors
    /// If the value has no such form.
    fn encode(&self, value: &V) -> Result<Bytes, CodecError>;

    /// The value that a peer sent.
    ///
    /// # Errors
    /// If the bytes are no such value.
    fn decode(&self, bytes: &Bytes) -> Result<V, CodecError>;

    /// Bytes the value takes in memory, as near as can be told; those of its encoding by default.
    fn weight(&self, value: &V) -> usize {
        self.encode(value).map_or(0, |bytes| bytes.len())
    }
}

/// Why a value can't be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub String);

/// Values that are bytes already: no copy either way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Codec<Bytes> for Plain {
    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, CodecError> {
        Ok(bytes.clone())
    }

    fn weight(&self, value: &Bytes) -> usize {
        value.len()
    }
}

/// Values of any serde type, as JSON.
pub struct Json<V>(PhantomData<fn(V) -> V>);

impl<V> Default for Json<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<V> fmt::Debug for Json<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<V: Serialize + DeserializeOwned + 'static> Codec<V> for Json<V> {
    fn encode(&self, value: &V) -> Result<Bytes, CodecError> {
        serde_json::to_vec(value).map(Bytes::from).map_err(|error| CodecError(error.to_string()))
    }

    fn decode(&self, bytes: &Bytes) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| CodecError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_there_and_back_and_refuses_what_is_not_its_type() {
        let codec = Json::<Vec<u32>>::default();
        let bytes = codec.encode(&vec![1, 2]).unwrap();
        assert_eq!((codec.decode(&bytes).unwrap(), bytes.len()), (vec![1, 2], 5));
        assert!(codec.decode(&Bytes::from_static(b"{}")).is_err());
        assert_eq!(codec.weight(&vec![1, 2]), 5);
    }
}
