//! Requests per second of a proxy's processor time, side by side.
use std::{io, time::Duration};

use crate::{
    Options, contender,
    load::{self, Until},
    upstream,
};

/// One round of one proxy.
#[derive(Clone, Copy, Debug)]
struct Round {
    per_processor_second: f64,
    per_second: f64,
    p99: Duration,
    others: usize,
}

pub(crate) fn measure(options: &Options) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let nodes = upstream::start(2)?;
    let contenders = contender::all(options.gateway.clone());
    let running = contenders
        .iter()
        .map(|contender| contender.start(&nodes, options.workers, folder.path(), &[]))
        .collect::<io::Result<Vec<_>>>()?;
    let mut rounds = vec![Vec::new(); running.len()];
    for number in 0..=options.rounds {
        for (proxy, rounds) in running.iter().zip(&mut rounds) {
            let (cpu, length) = (proxy.processor_time(), options.round);
            let outcome = load::run(proxy.address, options.connections, Until::Time(length))?;
            let cpu = proxy.processor_time() - cpu;
            let answers = precise(outcome.answers);
            // The first round warms up.
            if number > 0 {
                rounds.push(Round {
                    per_processor_second: answers / cpu.as_secs_f64(),
                    per_second: answers / length.as_secs_f64(),
                    p99: outcome.p99,
                    others: outcome.others,
                });
            }
        }
    }
    println!(
        "{:<12} {:>10} {:>10} {:>9} {:>10} {:>10} {:>8}",
        "", "req/cpu-s", "req/s", "P99 ms", "gateway x", "P99 x", "non-200"
    );
    for (contender, own) in contenders.iter().zip(&rounds) {
        let of = |figure: fn(&Round) -> f64| median(own.iter().map(figure));
        let ratio = |figure: fn(&Round) -> f64| {
            median(rounds[0].iter().zip(own).map(|(ours, theirs)| figure(ours) / figure(theirs)))
        };
        println!(
            "{:<12} {:>10.0} {:>10.0} {:>9.2} {:>10.2} {:>10.2} {:>8}",
            contender.name,
            of(|round| round.per_processor_second),
            of(|round| round.per_second),
            of(|round| round.p99.as_secs_f64() * 1e3),
            ratio(|round| round.per_processor_second),
            ratio(|round| round.p99.as_secs_f64()),
            own.iter().map(|round| round.others).sum::<usize>(),
        );
    }
    running.into_iter().try_for_each(contender::Running::stop)
}

fn precise(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
