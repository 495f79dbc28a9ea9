//! Completion of commands, options and keys; fuzzy search of keys.

use std::borrow::Cow;

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::{command::known, fuzzy, live::Live};

/// The most suggestions that are shown.
const MOST: usize = 60;

/// Completes the word at the cursor.
#[derive(Clone, Debug)]
pub(super) struct Words {
    live: Live,
}

impl Words {
    /// Completes with what `live` knows.
    #[must_use]
    pub(super) fn new(live: Live) -> Self {
        Self { live }
    }

    fn candidates(
        &self,
        command: Option<&str>,
        place: usize,
        word: &str,
    ) -> Vec<(String, Option<String>)> {
        let plain = |names: Vec<String>| names.into_iter().map(|name| (name, None)).collect();
        let starting = |names: &[&str]| {
            plain(
                names
                    .iter()
                    .filter(|name| name.starts_with(word))
                    .map(|&name| name.to_owned())
                    .collect(),
            )
        };
        let commands = || known().into_iter().filter(|(name, _)| name.starts_with(word));
        let Some(command) = command else {
            return commands().map(|(name, about)| (name, Some(about))).collect();
        };
        if word.starts_with('-') {
            return starting(options(command));
        }
        let known = self.live.known();
        match (command, place) {
            ("get" | "del" | "delete", 1..)
            | ("set" | "ttl" | "owner" | "where" | "keys" | "scan" | "watch", 1) => plain(
                fuzzy::best(word, &known.keys, MOST).into_iter().map(|key| quoted(key)).collect(),
            ),
            ("use", 1) => {
                let targets: Vec<_> = known.groups.iter().chain(&known.addrs).cloned().collect();
                plain(targets.into_iter().filter(|target| target.starts_with(word)).collect())
            }
            ("help", 1) => commands().map(|(name, about)| (name, Some(about))).collect(),
            _ => Vec::new(),
        }
    }
}

impl Completer for Words {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let before = line.get(..pos).unwrap_or(line);
        let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (done, word) = before.split_at(start);
        let words: Vec<_> = done.split_whitespace().collect();
        let found = self.candidates(words.first().copied(), words.len(), word);
        suggest(found, Span::new(start, pos))
    }
}

/// Finds keys by some of their letters: what was typed since the search began.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    live: Live,
}

impl Keys {
    /// Searches what `live` knows.
    #[must_use]
    pub(super) fn new(live: Live) -> Self {
        Self { live }
    }
}

impl Completer for Keys {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let span = Span::new(pos.saturating_sub(line.len()), pos);
        // A search on an empty line ends in something to be done.
        let verb = if span.start == 0 { "get " } else { "" };
        let known = self.live.known();
        let found = fuzzy::best(line.trim(), &known.keys, MOST);
        suggest(
            found.into_iter().map(|key| (format!("{verb}{}", quoted(key)), None)).collect(),
            span,
        )
    }
}

/// The options of a command.
fn options(command: &str) -> &'static [&'static str] {
    match command {
        "set" => &["--ttl", "--wait"],
        "del" | "delete" => &["--wait"],
        "keys" | "scan" => &["--limit", "--cursor", "--local"],
        "stats" => &["--all"],
        "clear" => &["--yes", "--wait"],
        "watch" => &["--values", "--count"],
        _ => &[],
    }
}

fn quoted(key: &str) -> String {
    shlex::try_quote(key).map_or_else(|_| key.to_owned(), Cow::into_owned)
}

fn suggest(found: Vec<(String, Option<String>)>, span: Span) -> CompletionResult {
    let suggestion = |(value, description)| Suggestion {
        value,
        description,
        span,
        append_whitespace: true,
        ..Suggestion::default()
    };
    CompletionResult::fresh(found.into_iter().map(suggestion).collect::<Vec<_>>())
}
