//! A slave of three dies.

use std::{thread::sleep, time::Duration};

use crate::{
    harness::Load,
    stage::{Stage, ring, ttl, until_ready, until_ring},
    table::{self, now},
};

#[test]
#[ignore = "takes a minute"]
fn a_slave_of_three_that_is_killed_costs_no_answer() {
    let stage = Stage::new(500, &[]);
    let mut slaves: Vec<_> = (1..=3).map(|number| stage.slave(number, 0)).collect();
    slaves.iter().for_each(until_ready);
    let gateway = stage.gateway();
    until_ring(&gateway, 3);
    let time = Duration::from_secs(35) + ttl();
    let load = Load::start(&stage, &gateway, time);
    let begun = now();
    sleep(Duration::from_secs(10));

    let dead = slaves.swap_remove(1);
    let port = dead.addr.port();
    let killed = now();
    dead.kill();
    until_ring(&gateway, 2);
    let gone = now();
    sleep(Duration::from_secs(5));
    let started = now();
    slaves.push(stage.slave(2, port));
    until_ring(&gateway, 3);
    let back = now();
    let answers = load.end();

    let seconds = |from: u64, to: u64| (to - from) as f64 / 1_000.0;
    println!("killed; off the ring after {:.1} s", seconds(killed, gone));
    println!("started again; on the ring after {:.1} s", seconds(started, back));
    let end = answers.iter().map(|answer| answer.at).max().unwrap();
    table::print(
        &answers,
        &[
            ("before", begun, killed),
            ("the second of its death", killed, killed + 1_000),
            ("the second after", killed + 1_000, killed + 2_000),
            ("until it is started again", killed + 2_000, started),
            ("until it is back", started, back),
            ("after", back, end),
        ],
    );
    assert_eq!(table::failed(&answers), 0, "{:?}", table::why(&answers));
    assert_eq!(ring(&gateway), 3);
    // Only a safety net for a machine that does much else; the figure is printed.
    assert!(gone - killed < 60_000);
}
