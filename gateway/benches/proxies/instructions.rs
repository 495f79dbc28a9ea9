//! Instructions per request, counted by callgrind: the same on a busy machine as on an idle one.
use std::{fs, io, process::Command};

use crate::{
    Options, contender,
    load::{self, Until},
    upstream,
};

/// Requests before counting begins.
const WARM_UP: usize = 500;
/// Requests that are counted.
const COUNTED: usize = 4_000;

pub(crate) fn measure(options: &Options) -> io::Result<()> {
    let folder = tempfile::tempdir()?.keep();
    let nodes = upstream::start(2)?;
    for contender in contender::all(options.gateway.clone()) {
        let counts = folder.join(format!("{}.callgrind", contender.name));
        let to_file = format!("--callgrind-out-file={}", counts.display());
        let wrapped = ["valgrind", "--tool=callgrind", "--instr-atstart=no", &to_file];
        let proxy = contender.start(&nodes, 1, &folder, &wrapped)?;
        load::run(proxy.address, options.connections, Until::Count(WARM_UP))?;
        control(proxy.pid(), "on")?;
        let outcome = load::run(proxy.address, options.connections, Until::Count(COUNTED))?;
        control(proxy.pid(), "off")?;
        proxy.stop()?;
        let counted = total(&counts)?;
        println!(
            "{:<12} {:>7} instructions per request; {} answers, {} not 200; {}",
            contender.name,
            counted / COUNTED as u64,
            outcome.answers,
            outcome.others,
            counts.display()
        );
    }
    Ok(())
}

fn control(pid: u32, switch: &str) -> io::Result<()> {
    let done = Command::new("callgrind_control").args(["-i", switch, &pid.to_string()]).output()?;
    if done.status.success() { Ok(()) } else { Err(io::Error::other("callgrind_control failed")) }
}

/// The sum of a callgrind file.
fn total(file: &std::path::Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .ok_or_else(|| io::Error::other("no total in the output of callgrind"))
}
