//! The line that is typed: keys, colours, hints, history, menus.

use std::{borrow::Cow, path::PathBuf};

use nu_ansi_term::Style;
use reedline::{
    Color, ColumnarMenu, DefaultHinter, Emacs, ExternalPrinter, FileBackedHistory, Highlighter,
    Hinter, History, InputMode, KeyCode, KeyModifiers, ListMenu, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline, ReedlineEvent,
    ReedlineMenu, StyledText, default_emacs_keybindings,
};

use super::{
    command::known,
    complete::{Keys, Words},
    live::Live,
    problem::Problem,
};

const COMPLETIONS: &str = "completions";
const KEYS: &str = "keys";
const HISTORY: &str = "history";
/// Lines kept from session to session.
const REMEMBERED: usize = 2_000;

/// What is said before the first prompt.
pub(super) const WELCOME: &str =
    "Tab completes, Ctrl-R searches keys, Ctrl-O the history; `help` lists the commands.";

/// An editor over what `live` knows, with or without colours.
///
/// # Errors
/// The history can't be read.
pub(super) fn editor(
    live: &Live,
    color: bool,
    printer: ExternalPrinter<String>,
) -> Result<Reedline, Problem> {
    let mut keys = default_emacs_keybindings();
    let menu = |name: &str| {
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(name.to_owned()),
            ReedlineEvent::MenuNext,
        ])
    };
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, menu(COMPLETIONS));
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('r'), menu(KEYS));
    keys.add_binding(KeyModifiers::CONTROL, KeyCode::Char('o'), menu(HISTORY));
    let completions = ColumnarMenu::default().with_name(COMPLETIONS).with_marker("> ");
    let search =
        ListMenu::default().with_name(KEYS).with_marker("? ").with_input_mode(InputMode::Diff);
    let past =
        ListMenu::default().with_name(HISTORY).with_marker("! ").with_input_mode(InputMode::Diff);
    let history: Box<dyn History> = match history_file() {
        Some(file) => {
            let why = |error| Problem::Io(format!("{}: {error}", file.display()));
            Box::new(FileBackedHistory::with_file(REMEMBERED, file.clone()).map_err(why)?)
        }
        None => Box::new(FileBackedHistory::default()),
    };
    let hints = Hints {
        history: DefaultHinter::default().with_style(Style::new().dimmed()),
        shown: String::new(),
    };
    let editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_completer(Box::new(Words::new(live.clone())))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(completions)))
        .with_menu(ReedlineMenu::WithCompleter {
            menu: Box::new(search),
            completer: Box::new(Keys::new(live.clone())),
        })
        .with_menu(ReedlineMenu::HistoryMenu(Box::new(past)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_history(history)
        // What begins with a blank is not remembered: values may be secrets.
        .with_history_exclusion_prefix(Some(" ".to_owned()))
        .with_hinter(Box::new(hints))
        .with_highlighter(Box::new(Colors))
        .with_external_printer(printer)
        .with_ansi_colors(color);
    Ok(editor)
}

/// Where lines are kept: `KAMAITACHI_HISTORY`, else in the state directory of whoever types. `None` keeps none.
fn history_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = std::env::var_os("KAMAITACHI_HISTORY") {
        return Some(PathBuf::from(file)).filter(|file| !file.as_os_str().is_empty());
    }
    let state =
        set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("kamaitachi/history"))
}

/// `127.0.0.1:8001/prices (3 peers)> `, red while the node is gone.
#[derive(Clone, Debug)]
pub(super) struct Line(pub(super) Live);

impl Prompt for Line {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        let known = self.0.known();
        let group =
            if known.group.is_empty() { String::new() } else { format!("/{}", known.group) };
        let peers = match known.peers {
            None => "gone".to_owned(),
            Some(1) => "1 peer".to_owned(),
            Some(peers) => format!("{peers} peers"),
        };
        format!("{}{group} ({peers})", known.addr).into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "… ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing like ",
        };
        format!("({failing}{}) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        if self.0.known().peers.is_some() { Color::Green } else { Color::Red }
    }

    fn get_indicator_color(&self) -> Color {
        self.get_prompt_color()
    }
}

/// A command is green, what is none is red.
#[derive(Debug)]
struct Colors;

impl Highlighter for Colors {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let mut styled = StyledText::new();
        let (word, rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
        let names = known();
        let mut is_begun = names.iter().filter(|(name, _)| name.starts_with(word));
        let color = match word {
            "delete" | "exit" => Color::Green,
            _ if names.iter().any(|(name, _)| name == word) => Color::Green,
            _ if rest.is_empty() && is_begun.next().is_some() => Color::Default,
            _ => Color::Red,
        };
        styled.push((Style::new().fg(color), word.to_owned()));
        styled.push((Style::new(), rest.to_owned()));
        styled
    }
}

/// What was typed before, else what a command wants next.
#[derive(Debug)]
struct Hints<H = DefaultHinter> {
    history: H,
    shown: String,
}

impl Hinter for Hints {
    fn handle(
        &mut self,
        line: &str,
        pos: usize,
        history: &dyn History,
        color: bool,
        cwd: &str,
    ) -> String {
        let past = self.history.handle(line, pos, history, color, cwd);
        self.shown = self.history.complete_hint();
        if !past.is_empty() {
            return past;
        }
        let wants = match line {
            "get " => "KEY …",
            "set " => "KEY VALUE [--ttl 5m] [--wait none|owner|quorum|all]",
            "del " => "KEY … [--wait none|owner|quorum|all]",
            "ttl " | "owner " | "where " => "KEY",
            "keys " | "scan " => "[PREFIX] [--limit N] [--local]",
            "watch " => "[PREFIX] [--values]",
            "use " => "GROUP or HOST:PORT",
            _ => "",
        };
        if color { Style::new().dimmed().paint(wants).to_string() } else { wants.to_owned() }
    }

    fn complete_hint(&self) -> String {
        self.shown.clone()
    }

    fn next_hint_token(&self) -> String {
        self.history.next_hint_token()
    }
}
