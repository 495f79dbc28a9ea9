//! The command line.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use kamaitachi_serve::{
    config::{ConfigError, Env},
    exit::{self, Completions, Failure},
    logs, service_manager,
    shutdown::Drain,
};

use crate::{
    config::{self, Config, NodeSource},
    gateway::{Gateway, runtime},
};

/// The gateway in front of the nodes of a Kamaitachi cluster: routes by the key in the request, limits rates, and goes
/// around nodes that fail.
#[derive(Debug, Parser)]
#[command(name = "kamaitachi-gateway", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
struct ConfigFile {
    /// Configuration file, TOML or INI; without one, the defaults and KAMAITACHI__SECTION__KEY variables count
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration file, print every mistake in it, and exit: 0 if there is none, 2 otherwise
    Check(ConfigFile),
    /// Run a whole cluster in this process: a master, slaves and a gateway on generated data
    #[cfg(feature = "demo")]
    Demo(crate::demo::DemoArgs),
    /// Print completions for a shell
    Completions(Completions),
}

/// Does what the command line says.
///
/// # Errors
///
/// The command line or the configuration is wrong, or the process fails at its work.
pub fn main() -> Result<(), Failure> {
    let cli = exit::parse::<Cli>()?;
    match cli.command {
        None => serve(load(&cli.file)?),
        Some(Command::Check(file)) => check(&file),
        #[cfg(feature = "demo")]
        Some(Command::Demo(args)) => crate::demo::main(&args),
        Some(Command::Completions(completions)) => completions.print::<Cli>(),
    }
}

fn load(file: &ConfigFile) -> Result<Config, ConfigError> {
    config::load(file.config.as_deref(), &Env::of_process())
}

/// Serves until a signal comes.
fn serve(config: Config) -> Result<(), Failure> {
    logs::init(&config.log.level, config.log.format).map_err(Failure::usage)?;
    runtime()?.block_on(async {
        let drain = Drain::on_signals()?;
        let running = Gateway::bind(config, drain)?.start()?;
        let (public, admin) = (running.local_addr(), running.admin_addr());
        tracing::info!(%public, %admin, "serving");
        service_manager::ready(&format!("serving on {public}, admin on {admin}"));
        let drained = running.serve().await?;
        tracing::info!(cut = drained.cut, "stopped");
        Ok(())
    })
}

/// Names every mistake, one a line.
fn check(file: &ConfigFile) -> Result<(), Failure> {
    match load(file) {
        Ok(config) => {
            let name =
                file.config.as_ref().map_or("environment".into(), |f| f.display().to_string());
            let (routes, nodes) = (config.routes.len(), config.upstream.nodes.len());
            let from = match &config.discovery.source {
                NodeSource::Static => "",
                NodeSource::Etcd(_) => ", more from etcd",
                NodeSource::File(_) => ", then those of a file",
                NodeSource::Dns(_) => ", then those of a name",
            };
            writeln!(io::stdout(), "{name}: ok, {routes} routes, {nodes} nodes{from}")?;
            Ok(())
        }
        Err(error) => Err(Failure::usage(error.report())),
    }
}
