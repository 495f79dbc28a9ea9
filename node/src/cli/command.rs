//! The words of the command line: the same for one shot, a pipe and the prompt.

use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use super::problem::Problem;
use crate::group::proto;

/// What can be asked of a group.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Show the value of a key, or of several: then with their keys
    Get {
        /// The keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Set a key to a value
    Set(Set),
    /// Delete keys
    #[command(visible_alias = "delete")]
    Del {
        /// The keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        /// Which peers must have acknowledged before the answer
        #[arg(long, value_enum, default_value_t)]
        wait: Wait,
    },
    /// Show how long a key lives on
    Ttl {
        /// The key
        key: String,
    },
    /// List keys by name
    Keys(Listing),
    /// List keys with sizes and ages, a page at a time
    Scan(Listing),
    /// Show the counters of the node
    Stats {
        /// Of all nodes of the group, summed
        #[arg(long)]
        all: bool,
    },
    /// Show who is in the group
    Peers,
    /// Show which peer owns a key, and who would next
    Owner {
        /// The key
        key: String,
    },
    /// Ask every peer whether it holds a key
    Where {
        /// The key
        key: String,
    },
    /// Forget every key of the group, everywhere
    Clear {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Which peers must have acknowledged before the answer
        #[arg(long, value_enum, default_value_t)]
        wait: Wait,
    },
    /// Show changes at the node as they happen; Ctrl-C ends it
    Watch {
        /// Only keys that begin so
        #[arg(default_value = "")]
        prefix: String,
        /// Show the values too
        #[arg(long)]
        values: bool,
        /// End after so many changes
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Go on with another group (NAME) or another node (HOST:PORT)
    Use {
        /// A group's name, or a node's address
        target: String,
    },
    /// Explain the commands, or one of them
    Help {
        /// The command
        command: Option<String>,
    },
    /// Leave
    #[command(visible_alias = "exit")]
    Quit,
}

/// See [`Command::Set`].
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The key
    pub key: String,
    /// The value; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// How long it lives, such as `90s` or `2h`; without it, as long as the group says
    #[arg(long, value_parser = humantime::parse_duration)]
    pub ttl: Option<Duration>,
    /// Which peers must have acknowledged before the answer
    #[arg(long, value_enum, default_value_t)]
    pub wait: Wait,
}

/// Which keys to list.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Only keys that begin so
    #[arg(default_value = "")]
    pub prefix: String,
    /// At most so many, 10,000 at the most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Begin after this key
    #[arg(long, default_value = "", value_name = "KEY")]
    pub cursor: String,
    /// Only what the node itself holds
    #[arg(long)]
    pub local: bool,
}

/// Which peers must have acknowledged a write before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// None but the node itself
    #[default]
    None,
    /// The owner of the key
    Owner,
    /// More than half of the group
    Quorum,
    /// Every peer that the write goes to
    All,
}

impl From<Wait> for proto::Wait {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::None => Self::None,
            Wait::Owner => Self::Owner,
            Wait::Quorum => Self::Quorum,
            Wait::All => Self::All,
        }
    }
}

#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_flag = true)]
#[command(disable_help_subcommand = true, infer_subcommands = false)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What a line asks for. `None` where it is empty or a comment (`#`).
///
/// # Errors
/// It is no command, or a quote in it is open.
pub(super) fn parse(line: &str) -> Result<Option<Command>, Problem> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let words = shlex::split(line).ok_or_else(|| {
        Problem::Usage("a quote is open; close it, or write \\' or \\\"".to_owned())
    })?;
    let parsed = Line::try_parse_from(words);
    parsed.map(|line| Some(line.command)).map_err(|error| Problem::Usage(first_line(&error)))
}

/// The commands and what they do.
#[must_use]
pub(super) fn known() -> Vec<(String, String)> {
    let about = |command: &clap::Command| {
        (
            command.get_name().to_owned(),
            command.get_about().map(ToString::to_string).unwrap_or_default(),
        )
    };
    Line::command().get_subcommands().map(about).collect()
}

/// How a command is used, in full.
///
/// # Errors
/// There is no such command.
pub(super) fn usage(name: &str) -> Result<String, Problem> {
    let mut line = Line::command();
    line.build();
    let found = line.get_subcommands_mut().find(|command| {
        command.get_name() == name || command.get_all_aliases().any(|alias| alias == name)
    });
    let command =
        found.ok_or_else(|| Problem::Usage(format!("`{name}` is no command; try `help`")))?;
    Ok(command.render_long_help().to_string().trim_end().replace("Usage:  ", "Usage: "))
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    // What follows names the missing arguments, or what was meant.
    match lines.next() {
        Some(next) if first.ends_with(':') => format!("{first} {next}"),
        Some(tip) if tip.starts_with("tip:") => {
            format!("{first}; {}", tip.trim_start_matches("tip:").trim())
        }
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        parse(line).unwrap().unwrap()
    }

    #[test]
    fn every_command_of_the_help_is_one() {
        let names: Vec<_> =
            known().into_iter().map(|(name, about)| (name, !about.is_empty())).collect();
        let expected = [
            "get", "set", "del", "ttl", "keys", "scan", "stats", "peers", "owner", "where",
            "clear", "watch", "use", "help", "quit",
        ];
        assert_eq!(names, expected.map(|name| (name.to_owned(), true)));
        for name in expected {
            assert!(usage(name).unwrap().contains("Usage"), "{name}");
        }
        assert!(usage("nonsense").is_err());
    }

    #[test]
    fn quotes_hold_words_together() {
        let Command::Set(set) = parsed(r#"set "a key" 'a "value"' --ttl 90s --wait all"#) else {
            panic!()
        };
        assert_eq!((&*set.key, &*set.value), ("a key", "a \"value\""));
        assert_eq!((set.ttl, set.wait), (Some(Duration::from_secs(90)), Wait::All));
        assert!(matches!(parse("get 'a"), Err(Problem::Usage(why)) if why.contains("quote")));
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        let Command::Set(set) = parsed("set k -5") else { panic!() };
        assert_eq!(set.value, "-5");
    }

    #[test]
    fn nothing_and_comments_are_no_commands() {
        for line in ["", "   ", "# get x"] {
            assert_eq!(parse(line).unwrap(), None);
        }
    }

    #[test]
    fn mistakes_are_one_line_that_says_what_is_wrong() {
        for (line, said) in [
            ("gte x", "unrecognized subcommand 'gte'"),
            ("get", "<KEY>"),
            ("keys --limit 0", "0"),
            ("set k v --ttl soon", "soon"),
        ] {
            let Err(Problem::Usage(why)) = parse(line) else { panic!("{line}") };
            assert!(why.contains(said) && !why.contains('\n'), "{line}: {why}");
        }
    }
}
