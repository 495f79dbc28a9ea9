//! What a key is.
use bytes::Bytes;

/// The key of a request, as a request extension: what [`Select`](crate::select::Select) looks up on its ring.
///
/// Where possible a slice of the request's own body; cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoutingKey(pub Bytes);

impl RoutingKey {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for RoutingKey {
    fn from(key: &str) -> Self {
        Self(Bytes::copy_from_slice(key.as_bytes()))
    }
}
