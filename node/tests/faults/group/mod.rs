//! Three servers of a cache group as processes: killed, stopped, cut off.

#[expect(dead_code, reason = "the simulation shares it")]
#[path = "../../simulation/group/account.rs"]
mod account;
mod client;
mod deaths;
mod partition;
mod stopped;

use std::process::Command;

use crate::{node::PROGRAM, rig::Process};

const PEERS: [&str; 3] = ["peer-1", "peer-2", "peer-3"];

/// What the account is told of the group: all hold all, and nothing is forgotten early.
#[derive(Clone, Copy, Debug)]
struct Kind {
    some_hold: bool,
    forgetful: bool,
}

const PLAIN: Kind = Kind { some_hold: false, forgetful: false };

/// A server that serves on this port; 0 is any.
fn start(port: u16, more: &[(&str, &str)]) -> Process {
    on(Command::new(PROGRAM), port, more)
}

/// The same where `command` runs the program that is its last argument.
fn on(mut command: Command, port: u16, more: &[(&str, &str)]) -> Process {
    command.arg("group").env("KAMAITACHI__SERVER__PORT", port.to_string());
    command.env("KAMAITACHI__ADMIN__ENABLED", "false");
    command.env("KAMAITACHI__PEERS__PING_INTERVAL", "100ms").envs(more.iter().copied());
    Process::start(command, "\"ready\"", "address").unwrap()
}
