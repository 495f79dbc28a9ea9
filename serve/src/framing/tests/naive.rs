//! A reading of the whole stream with no thought of speed or of cuts.

use super::LIMITS;

fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|b| *b == b'\n')?;
    let line = &rest[..=end];
    *rest = &rest[end + 1..];
    Some(line)
}

fn token(bytes: &[u8]) -> bool {
    let ok = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(ok)
}

fn printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
}

fn field(line: &[u8]) -> Option<(String, String)> {
    let colon = line.iter().position(|b| *b == b':')?;
    if !token(&line[..colon]) || !printable(line) {
        return None;
    }
    let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
    let value: String = line[colon + 1..].iter().map(|b| char::from(*b)).collect();
    let framing = ["content_length", "transfer_encoding"].contains(&name.as_str());
    (!framing).then(|| (name, value.trim_matches([' ', '\t']).to_owned()))
}

fn is_host(value: &str) -> bool {
    let (host, port) = value.split_once(':').unwrap_or((value, ""));
    let is_port = || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&b))
        && port.len() <= 5
        && (port.is_empty() || is_port())
}

/// Whether the stream is well-formed requests; `None` where it ends inside one.
pub(super) fn accepts(mut rest: &[u8]) -> Option<bool> {
    while !rest.is_empty() {
        if !request(&mut rest)? {
            return Some(false);
        }
    }
    Some(true)
}

/// `None` where the stream ends before the request does.
fn request(rest: &mut &[u8]) -> Option<bool> {
    if rest.starts_with(b"\r\n") {
        *rest = &rest[2..];
    }
    let whole = *rest;
    let mut fields = Vec::new();
    let first = line(rest)?;
    loop {
        let line = line(rest)?;
        if line == b"\r\n" {
            break;
        }
        fields.push(line);
    }
    let head = whole.len() - rest.len();
    let Some(first) = first.strip_suffix(b"\r\n") else { return Some(false) };
    let parts: Vec<&[u8]> = first.split(|b| *b == b' ').collect();
    let [method, target, version] = parts[..] else { return Some(false) };
    let ok_target = |b: &u8| b.is_ascii_graphic() && !b"#\"<>\\^`".contains(b);
    if !token(method) || target.is_empty() || !target.iter().all(ok_target) {
        return Some(false);
    }
    let old = version == b"HTTP/1.0";
    let new = matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9']);
    if !(old || new) || fields.len() > LIMITS.headers || target[0] != b'/' {
        return Some(false);
    }
    let parsed: Option<Vec<_>> =
        fields.iter().map(|line| line.strip_suffix(b"\r\n").and_then(field)).collect();
    let Some(parsed) = parsed else { return Some(false) };
    let all = |name: &str| -> Vec<&str> {
        parsed.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    };
    let (hosts, lengths) = (all("host"), all("content-length"));
    let encodings = all("transfer-encoding");
    let host = hosts.len() == 1 || (old && hosts.is_empty());
    if !host || !hosts.iter().all(|host| is_host(host)) {
        return Some(false);
    }
    if head > LIMITS.head_bytes || lengths.len() + encodings.len() > 1 {
        return Some(false);
    }
    match (lengths.first(), encodings.first()) {
        (Some(length), _) if length.bytes().all(|b| b.is_ascii_digit()) => {
            let Ok(length) = length.parse::<usize>() else { return Some(false) };
            *rest = rest.get(length..)?;
            Some(true)
        }
        (None, Some(coding)) if !old && coding.eq_ignore_ascii_case("chunked") => chunks(rest),
        (None, None) => Some(true),
        _ => Some(false),
    }
}

fn chunks(rest: &mut &[u8]) -> Option<bool> {
    loop {
        let line = line(rest)?;
        let Some(line) = line.strip_suffix(b"\r\n") else { return Some(false) };
        let digits: String =
            line.iter().map(|b| char::from(*b)).take_while(char::is_ascii_hexdigit).collect();
        let extension = &line[digits.len()..];
        let blank = |b: &u8| b" \t".contains(b);
        let semicolon = extension.iter().find(|b| !blank(b)) == Some(&b';');
        let Ok(size) = usize::from_str_radix(&digits, 16) else { return Some(false) };
        if !(extension.is_empty() || semicolon) || !printable(extension) || digits.len() > 15 {
            return Some(false);
        }
        if size == 0 {
            return trailers(rest);
        }
        let end = rest.get(size..)?;
        if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
            return Some(false);
        }
        *rest = end.get(2..)?;
    }
}

fn trailers(rest: &mut &[u8]) -> Option<bool> {
    loop {
        let line = line(rest)?;
        if line == b"\r\n" {
            return Some(true);
        }
        let framing = ["host", "content-length", "transfer-encoding"];
        match line.strip_suffix(b"\r\n").and_then(field) {
            Some((name, _)) if !framing.contains(&name.as_str()) => {}
            _ => return Some(false),
        }
    }
}
