//! What a request asks of its connection.

use std::ops::BitOrAssign;

use http::{HeaderName, Version, header};

/// What `Connection` and `Expect` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) closes: bool,
    pub(super) keeps: bool,
    /// Whether the client waits to hear that its body is wanted.
    pub(super) expects: bool,
}

impl Options {
    /// What one field says.
    pub(super) fn of(name: &HeaderName, value: &[u8]) -> Self {
        let mut options = Self::default();
        if *name == header::CONNECTION {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                options.closes |= option.eq_ignore_ascii_case(b"close");
                options.keeps |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if *name == header::EXPECT {
            options.expects = value.eq_ignore_ascii_case(b"100-continue");
        }
        options
    }

    /// Whether the connection may be used again after a request of `version`.
    pub(super) fn keep_alive(self, version: Version) -> bool {
        !self.closes && (self.keeps || version != Version::HTTP_10)
    }
}

impl BitOrAssign for Options {
    fn bitor_assign(&mut self, other: Self) {
        self.closes |= other.closes;
        self.keeps |= other.keeps;
        self.expects |= other.expects;
    }
}
