//! As much of HTTP/1.1 as both ends of a measurement need.

/// The length of the message at the front of `bytes`, if all of it is there. Only messages with a length or without a
/// body occur here.
pub(crate) fn message(bytes: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let length = head + content_length(&bytes[..head]);
    (length <= bytes.len()).then_some(length)
}

fn content_length(head: &[u8]) -> usize {
    let name = b"content-length:";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    line.and_then(|line| std::str::from_utf8(&line[name.len()..]).ok()?.trim().parse().ok())
        .unwrap_or(0)
}
