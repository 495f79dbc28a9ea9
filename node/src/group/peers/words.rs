//! What is said of calls that failed, for people.

use tonic::Status;

/// Over TLS, a peer that does not know our certificate may just hang up.
pub(super) fn secured(why: String, tls: bool) -> String {
    if tls && hung_up(&why) { format!("{why}; does it know our certificate?") } else { why }
}

/// Whether the other side ended a connection that stood, as the words of the error go. A certificate of an authority that
/// has the name of the right one is answered with `DecryptError`.
pub(crate) fn hung_up(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["broken pipe", "closed", "reset", "eof", "decrypterror"]
        .iter()
        .any(|words| why.contains(words))
}

/// A status with the chain of its causes, for people.
pub(super) fn told(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}
