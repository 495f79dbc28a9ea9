//! What each byte may be part of.

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const HOST: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0x21_u8;
    while b < 0x7f {
        let alphanumeric = b.is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric || one_of(b, b"!#$%&'*+-.^_`|~") {
            class |= TOKEN;
        }
        // RFC 3986, and the braces and bar that clients send unescaped; no fragment.
        if alphanumeric || one_of(b, b"-._~:/?[]@!$&'()*+,;=%{}|") {
            class |= TARGET;
        }
        // A name or address without colons. No comma, legal as it is: it is what two hosts merge with.
        if alphanumeric || one_of(b, b"-._~!$&'()*+;=%") {
            class |= HOST;
        }
        classes[b as usize] = class;
        b += 1;
    }
    classes
};

const fn one_of(byte: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

/// Part of a method or field name.
pub(super) fn is_token(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

/// Whether all may be part of a method or field name.
pub(super) fn all_token(bytes: &[u8]) -> bool {
    all(bytes, TOKEN)
}

/// Whether all may be part of a request target.
pub(super) fn all_target(bytes: &[u8]) -> bool {
    all(bytes, TARGET)
}

/// Whether all may be part of a Host.
pub(super) fn all_host(bytes: &[u8]) -> bool {
    all(bytes, HOST)
}

/// No early end: what is looked at is short, and nearly always fine.
fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().fold(class, |all, b| all & CLASSES[usize::from(*b)]) != 0
}

/// A control character that no line may hold; a tab may stand there.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// `bytes` without the blanks at both ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
