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
        // A name, an address, a port. No comma, legal as it is: it is what two hosts merge with.
        if alphanumeric || one_of(b, b"-._~:[]!$&'()*+;=%") {
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

/// Part of a request target.
pub(super) fn is_target(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TARGET != 0
}

/// Part of a Host.
pub(super) fn is_host(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & HOST != 0
}

/// A control character that no field value may hold; a tab may stand there.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// How many control characters there are.
pub(super) fn count_controls(bytes: &[u8]) -> usize {
    // A byte a lane: sums of up to 255 can't overflow, and the compiler makes vectors of them.
    bytes
        .chunks(255)
        .map(|chunk| chunk.iter().fold(0u8, |n, b| n.wrapping_add(u8::from(is_control(*b)))))
        .map(usize::from)
        .sum()
}

/// `bytes` without the blanks at both ends.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
