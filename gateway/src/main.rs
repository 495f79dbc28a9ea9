//! `kamaitachi-gateway`.

use std::process::ExitCode;

/// Requests make and drop many small things on the thread that serves them, which is what this allocator is best at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kamaitachi_serve::exit::run(kamaitachi_gateway::cli::main)
}
