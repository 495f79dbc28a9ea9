//! Commands as they are typed, until `quit` or Ctrl-D.

use std::io::{self, Write as _};

use reedline::{ExternalPrinter, Signal};
use tokio::runtime::Runtime;

use super::{
    Done,
    command::{self, Command},
    editor::{Line, WELCOME, editor},
    live::Live,
    perform,
    problem::Problem,
    run::alike,
    session::Session,
    show::Form,
};

/// Messages that may wait to be shown above the prompt.
const QUEUE: usize = 16;

/// Reads commands and does them. What fails is said, and the next one may be typed.
pub(super) fn prompt(
    runtime: &Runtime,
    mut session: Session,
    form: Form,
    color: bool,
) -> Result<(), Problem> {
    let printer = ExternalPrinter::new(QUEUE);
    let (live, watcher) = Live::start(&session, printer.sender());
    let mut editor = editor(&live, color, printer)?;
    println!("{WELCOME}");
    // The first prompt shows who is there.
    runtime.block_on(live.settled());
    loop {
        let line = match editor.read_line(&Line(live.clone()))? {
            Signal::Success(line) => line,
            Signal::CtrlD => break,
            // Ctrl-C gives up a line, and nothing else.
            _ => continue,
        };
        let done = match command::parse(&line) {
            Ok(None) => Ok(Done::Shown),
            Ok(Some(command)) => act(runtime, &mut session, &live, form, &command),
            Err(problem) => Err(problem),
        };
        match done {
            Ok(Done::Quit) => break,
            Ok(Done::Shown) => {}
            Err(problem) => form.complain(&problem)?,
        }
    }
    watcher.abort();
    Ok(())
}

fn act(
    runtime: &Runtime,
    session: &mut Session,
    live: &Live,
    form: Form,
    command: &Command,
) -> Result<Done, Problem> {
    match command {
        Command::Clear { yes: false, .. }
            if !confirmed("forget every key of the group, everywhere?", false)? =>
        {
            return Ok(Done::Shown);
        }
        _ => {}
    }
    let done = runtime.block_on(perform(session, form, command.clone()));
    match (command, &done) {
        (Command::Get { keys }, Err(Problem::NoSuchKey(_))) if keys.len() == 1 => {
            return offer(runtime, session, form, &keys[0], done);
        }
        (Command::Use { .. }, Ok(_)) => {
            live.follow(session);
            runtime.block_on(live.settled());
        }
        (Command::Set(set), Ok(_)) => live.remember(&set.key),
        _ => {}
    }
    done
}

/// Offers the key that looks most like the one that is not there.
fn offer(
    runtime: &Runtime,
    session: &mut Session,
    form: Form,
    key: &str,
    missing: Result<Done, Problem>,
) -> Result<Done, Problem> {
    let near = runtime.block_on(alike(session, key));
    let Some(nearest) = near.first() else { return missing };
    if !confirmed(&format!("no such key; get {nearest} instead?"), true)? {
        return Ok(Done::Shown);
    }
    runtime.block_on(perform(session, form, Command::Get { keys: vec![nearest.clone()] }))
}

fn confirmed(question: &str, default: bool) -> Result<bool, Problem> {
    print!("{question} [{}] ", if default { "Y/n" } else { "y/N" });
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(match answer.trim().to_ascii_lowercase().as_str() {
        "" => default,
        word => word == "y" || word == "yes",
    })
}
