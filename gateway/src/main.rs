//! `kamaitachi-gateway`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kamaitachi_serve::exit::run(kamaitachi_gateway::cli::main)
}
