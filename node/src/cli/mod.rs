//! The command line of a cache group: `kamaitachi-node cli [ADDR]` at a terminal, `cli [ADDR] COMMAND` for one shot, and
//! commands from a pipe, one a line.
//!
//! At a terminal answers are explained; elsewhere they are values and nothing else, or, with `--json`, one JSON object
//! a line. A `get` of many keys writes a line for each that is there: the key, a tab, the value, in both of which
//! backslash, tab, line feed and carriage return are `\\`, `\t`, `\n` and `\r`. `NO_COLOR` is honoured. It ends with 0 if
//! every command was done, 2 where the words were wrong, 1 otherwise (no such key is among that).

mod command;
mod complete;
mod editor;
mod fuzzy;
mod human;
mod live;
mod problem;
mod prompt;
mod run;
mod session;
mod show;
mod watch;

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use tokio::runtime::Runtime;

pub use self::{
    command::{Command, Listing, Set, Wait},
    problem::Problem,
    session::Access,
};
use self::{run::Report, session::Session, show::Form};

/// Where a node is looked for when none is named.
pub const DEFAULT_ADDR: &str = "127.0.0.1:8001";

/// The words after `cli`.
#[derive(Args, Debug)]
#[command(subcommand_precedence_over_arg = true, disable_help_subcommand = true)]
pub struct CliArgs {
    /// The node to talk to, HOST:PORT
    #[arg(value_name = "ADDR", default_value = DEFAULT_ADDR, value_parser = addr)]
    addr: String,
    /// The group; without a name, the only one of the node
    #[arg(long, value_name = "NAME", default_value = "")]
    group: String,
    /// Answer in JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
    /// One command, instead of a prompt
    #[command(subcommand)]
    command: Option<Command>,
}

/// Does what the words say; without a command, what is typed or piped in.
///
/// # Errors
/// A command could not be done; it has been said which and why.
pub fn run(args: CliArgs) -> Result<(), Problem> {
    let CliArgs { addr, group, json, access, command } = args;
    let is_terminal = io::stdout().is_terminal();
    let color = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let form = match (json, is_terminal) {
        (true, _) => Form::Json,
        (false, true) => Form::People { color },
        (false, false) => Form::Plain,
    };
    // Commands run here; a second thread looks after the connection and the prompt.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let session = Session::new(access, &addr, &group)?;
    match command {
        Some(command) => one(&runtime, session, form, command),
        None if is_terminal && io::stdin().is_terminal() => {
            prompt::prompt(&runtime, session, form, color)
        }
        None => lines(&runtime, session, form),
    }
}

fn addr(word: &str) -> Result<String, String> {
    match word.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(word.to_owned())
        }
        _ => Err("expected HOST:PORT, or a command; `help` lists them".to_owned()),
    }
}

fn one(
    runtime: &Runtime,
    mut session: Session,
    form: Form,
    command: Command,
) -> Result<(), Problem> {
    if let Command::Clear { yes: false, .. } = command {
        return Err(Problem::Usage("clear forgets every key, everywhere; say --yes".to_owned()));
    }
    let wanted = if let Command::Get { keys } = &command { keys.clone() } else { Vec::new() };
    let done = runtime.block_on(perform(&mut session, form, command)).map(drop);
    if let (Err(Problem::NoSuchKey(_)), [key]) = (&done, &*wanted) {
        let near = runtime.block_on(run::alike(&session, key));
        if !near.is_empty() && form != Form::Json {
            return Err(Problem::NoSuchKey(format!("{key}; nearest: {}", near.join(", "))));
        }
    }
    done
}

/// Commands from standard input, one a line. All are tried, whatever becomes of some.
fn lines(runtime: &Runtime, mut session: Session, form: Form) -> Result<(), Problem> {
    let (mut tried, mut failed) = (0, 0);
    for line in io::stdin().lock().lines() {
        let done = match command::parse(&line?) {
            Ok(None) => continue,
            Ok(Some(Command::Quit)) => break,
            Ok(Some(Command::Set(set))) if set.value == "-" => Err(Problem::Usage(
                "`-` reads the value from standard input, which holds the commands".to_owned(),
            )),
            Ok(Some(command)) => runtime.block_on(perform(&mut session, form, command)).map(drop),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = done {
            form.complain(&problem)?;
            failed += 1;
        }
        tried += 1;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Problem::Io(format!("{failed} of {tried} commands failed"))),
    }
}

/// Does one command and shows what came of it. Ctrl-C ends it.
async fn perform(session: &mut Session, form: Form, command: Command) -> Result<Done, Problem> {
    let mut out = io::stdout().lock();
    let work = async {
        if let Command::Watch { prefix, values, count } = command {
            watch::watch(session, form, &mut out, prefix, values, count).await?;
            return Ok(Done::Shown);
        }
        let report = run::run(session, command).await?;
        form.show(&mut out, &report)?;
        match &report {
            Report::Quit => Ok(Done::Quit),
            // What was found is shown all the same.
            Report::Values { missing, .. } if !missing.is_empty() => Err(Problem::no_such(missing)),
            // It is shown how far it came; that it did not come far enough is a failure all the same.
            Report::Written { reply, wait, .. } if !reply.satisfied && *wait != Wait::None => {
                let (have, of) = (reply.acknowledged, reply.asked);
                Err(Problem::Refused(format!(
                    "done here, but acknowledged by {have} of {of} peers in time"
                )))
            }
            _ => Ok(Done::Shown),
        }
    };
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Ok(Done::Shown),
    }
}

/// What is left to do after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Shown,
    Quit,
}
