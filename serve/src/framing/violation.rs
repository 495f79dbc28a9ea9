//! The ways in which a request can be framed wrongly.

use std::fmt;

/// What is wrong with the framing of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// The request line is not `method target version`.
    RequestLine,
    /// The version is neither 1.0 nor 1.1.
    Version,
    /// The request target is too long.
    TargetTooLong,
    /// The head is too long, or has too many fields.
    HeadTooLarge,
    /// A line ends without a carriage return.
    BareLineFeed,
    /// A control character, a lone carriage return among them, stands in the head.
    ControlCharacter,
    /// A field continues on another line.
    Folding,
    /// A field has no colon, no name, or a name that is no token.
    FieldName,
    /// Whitespace stands before the colon of a field.
    SpaceBeforeColon,
    /// There is no Host, or more than one.
    HostCount,
    /// Host is not a host with an optional port.
    HostValue,
    /// Content-Length is not one plain number that fits.
    ContentLength,
    /// Content-Length is given more than once.
    RepeatedContentLength,
    /// Transfer-Encoding is not exactly `chunked`.
    TransferEncoding,
    /// Both Transfer-Encoding and Content-Length are given.
    BothLengths,
    /// Transfer-Encoding is given in HTTP/1.0.
    EncodingInOldVersion,
    /// A chunk's size line is malformed or too long.
    ChunkSize,
    /// A chunk's data is not followed by a line end.
    ChunkEnd,
    /// A trailer is malformed, too long, or a field that frames or routes.
    Trailer,
}

impl Violation {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::RequestLine,
        Self::Version,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::BareLineFeed,
        Self::ControlCharacter,
        Self::Folding,
        Self::FieldName,
        Self::SpaceBeforeColon,
        Self::HostCount,
        Self::HostValue,
        Self::ContentLength,
        Self::RepeatedContentLength,
        Self::TransferEncoding,
        Self::BothLengths,
        Self::EncodingInOldVersion,
        Self::ChunkSize,
        Self::ChunkEnd,
        Self::Trailer,
    ];

    /// The status that the client is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.words().0
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RequestLine => ("request_line", "malformed request line"),
            Self::Version => ("version", "HTTP version not supported, expected HTTP/1.1"),
            Self::TargetTooLong => ("target_too_long", "request target too long"),
            Self::HeadTooLarge => ("head_too_large", "request header fields too large"),
            Self::BareLineFeed => ("bare_line_feed", "line ends without a carriage return"),
            Self::ControlCharacter => ("control_character", "control character in the head"),
            Self::Folding => ("folding", "header field continued on another line"),
            Self::FieldName => ("field_name", "malformed header field name"),
            Self::SpaceBeforeColon => {
                ("space_before_colon", "whitespace between a header field name and its colon")
            }
            Self::HostCount => ("host_count", "expected exactly one Host header field"),
            Self::HostValue => ("host_value", "malformed Host header field"),
            Self::ContentLength => {
                ("content_length", "malformed Content-Length, expected one decimal number")
            }
            Self::RepeatedContentLength => ("repeated_content_length", "repeated Content-Length"),
            Self::TransferEncoding => {
                ("transfer_encoding", "unsupported Transfer-Encoding, expected chunked")
            }
            Self::BothLengths => {
                ("both_lengths", "both Transfer-Encoding and Content-Length are given")
            }
            Self::EncodingInOldVersion => {
                ("encoding_in_old_version", "Transfer-Encoding in an HTTP/1.0 request")
            }
            Self::ChunkSize => ("chunk_size", "malformed chunk size"),
            Self::ChunkEnd => ("chunk_end", "chunk longer than its size"),
            Self::Trailer => ("trailer", "malformed or forbidden trailer field"),
        }
    }
}

/// The sentence that the client is told.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().1)
    }
}

impl std::error::Error for Violation {}
