//! The protocol of the cache group, as compiled from `proto/kamaitachi/group/v1/group.proto`.
#![expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::too_many_lines,
    reason = "generated code, documented in its source"
)]

tonic::include_proto!("kamaitachi.group.v1");

/// The descriptors of the protocol, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/group.bin"));
