//! `watch`: changes at a node, as they happen.

use std::io::Write;

use nu_ansi_term::{Color, Style};
use serde_json::json;

use super::{problem::Problem, session::Session, show::Form};
use crate::group::proto::{self, change::Kind};

/// Writes the changes of keys that begin with `prefix` until the node ends the stream, or `count` were written.
///
/// Cancel safety: dropping the future ends the watch.
///
/// # Errors
/// The node can't be reached, refuses, or goes; nobody reads on.
pub(super) async fn watch(
    session: &Session,
    form: Form,
    out: &mut impl Write,
    prefix: String,
    values: bool,
    count: Option<u64>,
) -> Result<(), Problem> {
    let message = proto::WatchRequest { group: session.group(), prefix, values };
    // Without a deadline: it ends when nobody wants it any more.
    let mut changes = session.answer(session.client().watch(message).await)?;
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let next =
            changes.message().await.map_err(|status| Problem::of(session.addr(), &status))?;
        let Some(change) = next else { return Err(gone(session)) };
        if change.kind() == Kind::Ready {
            continue;
        }
        writeln!(out, "{}", line(form, &change))?;
        out.flush()?;
        left -= 1;
    }
    Ok(())
}

fn gone(session: &Session) -> Problem {
    Problem::Unreachable { addr: session.addr().to_owned(), why: "it ended the watch".to_owned() }
}

fn line(form: Form, change: &proto::Change) -> String {
    let verb = match change.kind() {
        Kind::Set => "set",
        Kind::Delete => "del",
        Kind::Clear => "clear",
        Kind::Expired => "expired",
        Kind::Evicted => "evicted",
        Kind::Missed => "missed",
        Kind::Ready | Kind::Unknown => "?",
    };
    let value = change.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
    if form == Form::Json {
        return json!({
            "change": verb, "key": change.key, "value": value, "from_peer": change.from_peer, "missed": change.missed,
        })
        .to_string();
    }
    let color = match change.kind() {
        Kind::Set => Color::Green,
        Kind::Delete | Kind::Clear => Color::Red,
        _ => Color::Yellow,
    };
    let mut text = form.paint(Style::new().fg(color), &format!("{verb:7}"));
    if change.kind() == Kind::Missed {
        text.push_str(&format!(" {} changes: this reader is too slow", change.missed));
    }
    for part in
        [Some(&change.key), value.as_ref()].into_iter().flatten().filter(|part| !part.is_empty())
    {
        text.push(' ');
        text.extend(part.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    }
    if change.from_peer {
        text.push_str(&form.paint(Style::new().dimmed(), " (from a peer)"));
    }
    text
}
