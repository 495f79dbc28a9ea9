//! Serving, from the start to the last snapshot.

use std::path::{Path, PathBuf};

use kamaitachi_node::{Node, StartError, config::Config};
use kamaitachi_serve::{config::Env, exit::Failure, logs, service_manager, shutdown::Drain};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

pub(super) fn run(path: Option<&Path>, db: Option<PathBuf>) -> Result<(), Failure> {
    let config = Config::load(path, db, &Env::of_process())?;
    logs::init(&config.log.level, config.log.format).map_err(Failure::usage)?;
    super::runtime()?.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let drain = Drain::on_signals()?;
    // From here on, so that a wish for a snapshot during the start does not end the process.
    let mut wanted = signal(SignalKind::user_defined2())?;
    let file = config.database.path.clone();
    let (mode, deadline) = (config.server.role.name(), config.server.drain);
    let mut node = tokio::select! {
        started = Node::start(config) => started.map_err(|error: StartError| Failure::failed(error))?,
        () = drain.requested() => return Ok(()),
    };
    announce(&node, mode, &file);
    service_manager::ready(&format!("{mode} serves on {}", node.local_addr()));
    loop {
        tokio::select! {
            () = drain.requested() => break,
            // What comes of it is logged where it is done.
            _ = wanted.recv() => drop(node.save_snapshot().await),
            () = node.failed() => return Err(Failure::failed("a worker thread failed; the log has the cause")),
        }
    }
    node.drain(async {
        tokio::select! {
            () = tokio::time::sleep(deadline) => {}
            () = drain.stopped() => {}
        }
    })
    .await;
    Ok(())
}

fn announce(node: &Node, mode: &str, file: &Path) {
    let Some(core) = node.app().core() else { return };
    let totals = core.store.totals();
    info!(
        address = %node.local_addr(),
        service_addr = node.app().addr(),
        mode,
        file = %file.display(),
        revision = core.store.revision(),
        records = totals.records,
        subjects = totals.subjects,
        snapshot = %core.snapshots.restored(),
        "node serves"
    );
}
