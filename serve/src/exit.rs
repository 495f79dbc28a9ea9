//! Command lines and exit codes, the same for every process: 0 for a clean stop, 2 for wrong usage
//! or configuration, 1 for any other failure.
//!
//! ```no_run
//! use clap::Parser;
//! use kamaitachi_serve::exit::{self, Completions, Failure};
//!
//! #[derive(Parser)]
//! #[command(version)]
//! struct Cli {
//!     #[arg(long)]
//!     config: std::path::PathBuf,
//!     #[command(subcommand)]
//!     command: Option<Command>,
//! }
//!
//! #[derive(clap::Subcommand)]
//! enum Command {
//!     Completions(Completions),
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     exit::run(|| {
//!         let cli = exit::parse::<Cli>()?;
//!         if let Some(Command::Completions(completions)) = &cli.command {
//!             return completions.print::<Cli>();
//!         }
//!         Err(Failure::failed("nothing to serve"))
//!     })
//! }
//! ```

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use crate::config::{ConfigError, Mistakes};

/// Why a process ends otherwise than cleanly.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Wrong usage or configuration: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(String),
    /// What clap has to say: help and version end cleanly, the rest is wrong usage.
    Clap(clap::Error),
}

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }

    /// A failure at work.
    pub fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Clap(error) => u8::try_from(error.exit_code()).unwrap_or(2),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::usage(mistakes)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Clap(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}

/// Runs a process and tells how it ended: a failure is one line (`error: …`) on standard error.
pub fn run(main: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    let Err(failure) = main() else { return ExitCode::SUCCESS };
    match &failure {
        // With nobody to tell, the code still tells.
        Failure::Usage(reason) | Failure::Failed(reason) => {
            let _ = writeln!(io::stderr(), "error: {reason}");
        }
        Failure::Clap(error) if failure.code() == 0 => drop(error.print()),
        Failure::Clap(error) => {
            let _ = writeln!(io::stderr(), "{}", one_line(&error.render().to_string()));
        }
    }
    ExitCode::from(failure.code())
}

/// What clap says of wrong usage without the usage itself, on one line.
fn one_line(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let about = lines.take_while(|line| !line.starts_with("Usage:"));
    let mut line =
        about.filter(|line| !line.starts_with("For more")).fold(String::new(), |mut line, part| {
            match line.chars().last() {
                None => {}
                Some(':') => line.push(' '),
                Some(_) => line.push_str("; "),
            }
            line.push_str(part);
            line
        });
    line.push_str(" (see --help)");
    line
}

/// Parses the arguments of this process, taking `-name` for `--name` where there is such a flag.
///
/// # Errors
/// The arguments are wrong, or ask for help or the version.
pub fn parse<Cli: Parser>() -> Result<Cli, Failure> {
    parse_from(std::env::args_os())
}

/// [`parse`] for given arguments, the name of the program first.
///
/// # Errors
/// As [`parse`].
pub fn parse_from<Cli: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Cli, Failure> {
    let mut known = Vec::new();
    collect_longs(&Cli::command(), &mut known);
    let arguments = double_dashes(arguments, &known);
    Ok(Cli::try_parse_from(arguments)?)
}

fn collect_longs(command: &clap::Command, known: &mut Vec<String>) {
    for argument in command.get_arguments() {
        known.extend(argument.get_long().map(str::to_owned));
    }
    known.extend(["help", "version"].map(str::to_owned));
    for sub in command.get_subcommands() {
        collect_longs(sub, known);
    }
}

/// Rewrites `-config x` and `-config=x`; short flags and what follows `--` stay as they are.
fn double_dashes(arguments: impl IntoIterator<Item = OsString>, known: &[String]) -> Vec<OsString> {
    let mut literal = false;
    let rewrite = |argument: OsString| {
        literal |= argument == "--";
        let long = argument.to_str().and_then(|text| text.strip_prefix('-')).filter(|rest| {
            let name = rest.split('=').next().unwrap_or(rest);
            name.len() > 1 && !name.starts_with('-') && known.iter().any(|flag| flag == name)
        });
        match long {
            Some(rest) if !literal => format!("--{rest}").into(),
            _ => argument,
        }
    };
    arguments.into_iter().map(rewrite).collect()
}

/// The arguments of a `completions SHELL` subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// The shell to write completions for.
    pub shell: Shell,
}

impl Completions {
    /// Writes the completions of `Cli` to standard output.
    ///
    /// # Errors
    /// Standard output can't be written to; that nobody reads it is no error.
    pub fn print<Cli: CommandFactory>(&self) -> Result<(), Failure> {
        match io::stdout().write_all(&self.render::<Cli>()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn render<Cli: CommandFactory>(&self) -> Vec<u8> {
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "kamaitachi-test", version = "1.2.3")]
    struct Cli {
        #[arg(short, long)]
        config: Option<String>,
        #[arg(short)]
        verbose: bool,
        #[command(subcommand)]
        command: Option<Sub>,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Sample {
            #[arg(long, allow_negative_numbers = true)]
            rows: i32,
            names: Vec<String>,
        },
        Completions(Completions),
    }

    fn cli(arguments: &[&str]) -> Result<Cli, Failure> {
        parse_from(["kamaitachi-test"].iter().chain(arguments).map(OsString::from))
    }

    #[test]
    fn flags_take_one_dash_or_two() {
        for arguments in [&["-config", "x"], &["--config", "x"], &["-c", "x"]] {
            assert_eq!(cli(arguments).unwrap().config.as_deref(), Some("x"), "{arguments:?}");
        }
        assert_eq!(cli(&["-config=a=b"]).unwrap().config.as_deref(), Some("a=b"));
        assert!(cli(&["-v"]).unwrap().verbose);
        let sample = cli(&["sample", "-rows", "-5", "--", "-rows"]).unwrap().command;
        let Some(Sub::Sample { rows, names }) = sample else { panic!("{sample:?}") };
        assert_eq!((rows, names), (-5, vec!["-rows".to_owned()]));
    }

    #[test]
    fn wrong_usage_is_2_help_and_version_are_0_failures_are_1() {
        assert_eq!(cli(&["-nonsense"]).unwrap_err().code(), 2);
        assert_eq!(cli(&["-help"]).unwrap_err().code(), 0);
        assert_eq!(cli(&["-version"]).unwrap_err().code(), 0);
        assert_eq!(Failure::from(Mistakes::new()).code(), 2);
        assert_eq!(Failure::from(io::Error::other("disk")).code(), 1);
    }

    #[test]
    fn wrong_usage_is_told_on_one_line() {
        let told = |arguments: &[&str]| match cli(arguments).unwrap_err() {
            Failure::Clap(error) => one_line(&error.render().to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&["--nope"]), "error: unexpected argument '--nope' found (see --help)");
        assert_eq!(
            told(&["sample"]),
            "error: the following required arguments were not provided: --rows <ROWS> (see --help)"
        );
        let shell = told(&["completions", "nosh"]);
        assert!(!shell.contains('\n') && shell.contains("'nosh'"), "{shell}");
        assert!(shell.contains("[possible values: bash") && shell.ends_with("(see --help)"));
    }

    #[test]
    fn completions_name_every_flag() {
        let Some(Sub::Completions(bash)) = cli(&["completions", "bash"]).unwrap().command else {
            panic!("not completions");
        };
        let script = String::from_utf8(bash.render::<Cli>()).unwrap();
        assert!(script.contains("kamaitachi-test") && script.contains("--config"), "{script}");
        assert_eq!(cli(&["completions", "abacus"]).unwrap_err().code(), 2);
    }
}
