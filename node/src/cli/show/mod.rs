//! What came of a command, for people and for programs.

mod json;
mod stats;

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets};
use nu_ansi_term::{Color, Style};
use serde_json::{Value as Json, json};

use super::{
    human,
    problem::Problem,
    run::{Place, Report, Value},
};
use crate::group::proto::{self, PeerState, Source};

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    /// For people, with explanations.
    People {
        /// In colour.
        color: bool,
    },
    /// For programs: values and nothing else.
    Plain,
    /// One JSON object a line.
    Json,
}

impl Form {
    /// `text` in `style`, where colours are wanted.
    #[must_use]
    pub(in crate::cli) fn paint(self, style: Style, text: &str) -> String {
        if self == (Self::People { color: true }) {
            style.paint(text).to_string()
        } else {
            text.to_owned()
        }
    }

    fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    /// Writes `report`.
    ///
    /// # Errors
    /// Nobody reads on.
    pub(in crate::cli) fn show(self, out: &mut impl Write, report: &Report) -> io::Result<()> {
        if self == Self::Json {
            return writeln!(out, "{}", json::of(report));
        }
        match report {
            Report::Values { values, missing } => {
                self.values(out, values, values.len() + missing.len() > 1)
            }
            Report::Written { verb, reply, .. } => writeln!(out, "{}", self.written(verb, reply)),
            Report::Ttl(_, reply) => writeln!(out, "{}", lifetime(reply)),
            Report::Keys { page, long } => self.keys(out, page, *long),
            Report::Stats(stats) => writeln!(out, "{}", stats::table(stats)),
            Report::Peers(peers) => writeln!(out, "{}", self.peers(peers)),
            Report::Owner(_, reply) => self.owner(out, reply),
            Report::Places(_, places) => writeln!(out, "{}", places_table(places)),
            Report::Using { addr, group } => writeln!(out, "{addr} {group}"),
            Report::Help(text) => writeln!(out, "{text}"),
            Report::Quit => Ok(()),
        }
    }

    /// Writes why a command could not be done: to standard error for people, as JSON where JSON is spoken.
    ///
    /// # Errors
    /// Nobody reads on.
    pub(in crate::cli) fn complain(self, problem: &Problem) -> io::Result<()> {
        if self == Self::Json {
            return writeln!(io::stdout(), "{}", json!({ "error": problem.to_string() }));
        }
        let word = self.paint(Style::new().fg(Color::Red), "error");
        writeln!(io::stderr(), "{word}: {problem}")
    }

    /// Values, with their keys where many were asked for.
    fn values(self, out: &mut impl Write, values: &[Value], many: bool) -> io::Result<()> {
        for value in values {
            if self == Self::Plain {
                if many {
                    out.write_all(&in_line(value.key.as_bytes()))?;
                    out.write_all(b"\t")?;
                    out.write_all(&in_line(&value.value))?;
                } else {
                    out.write_all(&value.value)?;
                }
                writeln!(out)?;
                continue;
            }
            if many {
                writeln!(out, "{}", self.paint(Style::new().bold(), &value.key))?;
            }
            writeln!(out, "{}", printable(&value.value))?;
            let mut about = origin(value.source).to_owned();
            if !value.node.is_empty() {
                let _ = write!(about, " {}", value.node);
            }
            if let Some(ttl) = value.ttl {
                let _ = write!(about, " · lives {}", human::time(ttl));
            }
            let _ = write!(about, " · {}", human::size(value.value.len() as u64));
            writeln!(out, "{}", self.dim(&about))?;
        }
        Ok(())
    }

    fn written(self, verb: &str, reply: &proto::WriteReply) -> String {
        if self == Self::Plain {
            return if verb == "del" { reply.existed.to_string() } else { "ok".to_owned() };
        }
        let what = match (verb, reply.existed) {
            ("del", 0) => "was not here".to_owned(),
            ("del", 1) => "deleted".to_owned(),
            ("del", many) => format!("deleted {many}"),
            _ => "ok".to_owned(),
        };
        let peers = format!("{} of {} peers so far", reply.acknowledged, reply.asked);
        format!("{what} {}", self.dim(&format!("({peers})")))
    }

    fn keys(self, out: &mut impl Write, page: &proto::ScanReply, long: bool) -> io::Result<()> {
        if long && self != Self::Plain {
            let rows = page.keys.iter().map(|info| {
                [
                    info.key.clone(),
                    human::size(info.bytes),
                    human::time(Duration::from_millis(info.ttl_ms)),
                ]
            });
            writeln!(out, "{}", table(["key", "size", "lives"], rows, &[1, 2]))?;
        } else {
            for info in &page.keys {
                match long {
                    true => writeln!(out, "{}\t{}\t{}", info.key, info.bytes, info.ttl_ms)?,
                    false => writeln!(out, "{}", info.key)?,
                }
            }
        }
        if self == Self::Plain {
            return Ok(());
        }
        if !page.cursor.is_empty() {
            writeln!(out, "{}", self.dim(&format!("more: --cursor '{}'", page.cursor)))?;
        }
        if !page.unreachable.is_empty() {
            let missing = format!("not asked, unreachable: {}", page.unreachable.join(", "));
            writeln!(out, "{}", self.paint(Style::new().fg(Color::Yellow), &missing))?;
        }
        Ok(())
    }

    fn peers(self, reply: &proto::PeersReply) -> String {
        let rows = reply.peers.iter().map(|peer| {
            let state = match peer.state() {
                PeerState::Ejected => self.paint(Style::new().fg(Color::Red), state(peer.state())),
                PeerState::Alive | PeerState::Self_ => {
                    self.paint(Style::new().fg(Color::Green), state(peer.state()))
                }
                PeerState::New | PeerState::Unknown => state(peer.state()).to_owned(),
            };
            let trip = match peer.rtt_us {
                0 => "-".to_owned(),
                micros => human::time(Duration::from_micros(micros)),
            };
            let sync = format!(
                "{} / {} / {}",
                human::count(peer.acknowledged),
                human::count(peer.failed),
                human::count(peer.dropped)
            );
            let queue =
                format!("{} ({})", human::count(peer.queue_entries), human::size(peer.queue_bytes));
            [
                peer.addr.clone(),
                state,
                format!("{:.1}%", peer.share * 100.0),
                trip,
                queue,
                sync,
                peer.last_error.clone(),
            ]
        });
        let head = [
            "peer",
            "state",
            "owns",
            "round trip",
            "queued",
            "sync ok / failed / dropped",
            "last error",
        ];
        let table = table(head, rows, &[2, 3, 4, 5]);
        format!("{table}\n{}", self.dim(&format!("epoch {:016x}", reply.epoch)))
    }

    fn owner(self, out: &mut impl Write, reply: &proto::OwnerReply) -> io::Result<()> {
        if self == Self::Plain {
            return writeln!(out, "{}", reply.owner);
        }
        let own = if reply.is_self { " (this node)" } else { "" };
        let name = if reply.owner.is_empty() { "nobody: there are no peers" } else { &reply.owner };
        writeln!(out, "{}{own}", self.paint(Style::new().bold(), name))?;
        let next: Vec<_> = reply.successors.iter().skip(1).map(String::as_str).collect();
        if !next.is_empty() {
            writeln!(out, "{}", self.dim(&format!("then {}", next.join(", "))))?;
        }
        if !reply.targets.is_empty() {
            writeln!(out, "{}", self.dim(&format!("writes go to {}", reply.targets.join(", "))))?;
        }
        Ok(())
    }
}

fn origin(source: Source) -> &'static str {
    match source {
        Source::Local => "held by",
        Source::Hot => "hot copy at",
        Source::Peer => "given by",
        Source::Loader => "loaded by",
        Source::Unknown => "from",
    }
}

fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Self_ => "this node",
        PeerState::Alive => "alive",
        PeerState::New => "not called yet",
        PeerState::Ejected => "gone",
        PeerState::Unknown => "unknown",
    }
}

/// Text as it is, without what would play with the terminal; JSON laid out; other bytes in hexadecimal.
fn printable(value: &[u8]) -> String {
    if let Ok(json @ (Json::Object(_) | Json::Array(_))) = serde_json::from_slice::<Json>(value) {
        return serde_json::to_string_pretty(&json).unwrap_or_default();
    }
    match std::str::from_utf8(value) {
        Ok(text) => text
            .chars()
            .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
            .collect(),
        Err(_) => value
            .chunks(32)
            .map(|line| {
                line.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                })
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// Bytes as a part of a line: without what would end it, or the part.
fn in_line(bytes: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => line.extend(br"\\"),
            b'\t' => line.extend(br"\t"),
            b'\n' => line.extend(br"\n"),
            b'\r' => line.extend(br"\r"),
            byte => line.push(*byte),
        }
    }
    line
}

fn lifetime(reply: &proto::TtlReply) -> String {
    let left = human::time(Duration::from_millis(reply.ttl_ms));
    match (reply.found, reply.negative) {
        (true, true) => format!("known to have no value, for {left}"),
        (true, false) if reply.ttl_ms == 0 => "lives without end".to_owned(),
        (true, false) => left,
        (false, _) => "not held here".to_owned(),
    }
}

fn places_table(places: &[Place]) -> String {
    let rows = places.iter().map(|place| {
        let role = if place.is_owner { "owner" } else { "" };
        let held = match &place.held {
            Ok(reply) if reply.found => {
                format!("holds {}, lives {}", human::size(reply.bytes), lifetime(reply))
            }
            Ok(_) => "-".to_owned(),
            Err(problem) => problem.to_string(),
        };
        [place.addr.clone(), role.to_owned(), held]
    });
    table(["peer", "", "held"], rows, &[])
}

fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    right: &[usize],
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if head.iter().any(|name| !name.is_empty()) {
        table.set_header(head);
    }
    table.add_rows(rows);
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
