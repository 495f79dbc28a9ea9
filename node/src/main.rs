//! The data node as a program.

use std::process::ExitCode;

mod command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kamaitachi_serve::exit::run(command::run)
}
