//! Each kind of process is asked to stop, and started again.

use std::{thread::sleep, time::Duration};

use crate::{
    clients::{self, Clients},
    harness::Load,
    rig::{process::run, until},
    stage::{Stage, number, until_ready, until_ring},
    table::{self, now},
};

const PAUSE: Duration = Duration::from_secs(4);

#[test]
#[ignore = "takes a minute"]
fn slaves_master_and_etcd_that_are_asked_to_stop_cost_no_read() {
    let mut stage = Stage::new(500, &[]);
    let mut slaves: Vec<_> = (1..=3).map(|number| stage.slave(number, 0)).collect();
    slaves.iter().for_each(until_ready);
    let gateway = stage.gateway();
    until_ring(&gateway, 3);
    let load = Load::start(&stage, &gateway, Duration::from_secs(50));
    let mut times = vec![("before", now())];
    sleep(PAUSE);

    times.push(("a slave stops", now()));
    let slave = slaves.swap_remove(1);
    let port = slave.addr.port();
    assert!(slave.signal_and_end("TERM").success());
    times.push(("and is away", now()));
    sleep(PAUSE);
    times.push(("and starts", now()));
    slaves.push(stage.slave(2, port));
    until_ring(&gateway, 3);

    times.push(("the master stops", now()));
    run("kill", &["-s", "TERM", &stage.master.pid().to_string()]);
    until("the master is gone", || stage.master.is_gone());
    times.push(("and is away", now()));
    sleep(PAUSE);
    times.push(("and starts", now()));
    stage.master_again();
    until_ready(&stage.master);

    times.push(("etcd stops", now()));
    run("kill", &["-s", "TERM", &stage.etcd.pid().unwrap().to_string()]);
    sleep(PAUSE);
    times.push(("and starts", now()));
    let Stage { runtime, etcd, .. } = &mut stage;
    runtime.block_on(etcd.restart());
    until("etcd is believed again", || {
        gateway.get("/health").json()["discovery"]["connected"] == true
    });
    times.push(("after", now()));

    let answers = load.end();
    let end = answers.iter().map(|answer| answer.at).max().unwrap();
    let ends = times.iter().skip(1).map(|(_, at)| *at).chain([end]);
    let stretches: Vec<_> =
        times.iter().zip(ends).map(|((name, at), to)| (*name, *at, to.max(*at))).collect();
    table::print(&answers, &stretches);
    assert_eq!(table::failed(&answers), 0, "{:?}", table::why(&answers));
}

const ROUNDS: usize = 6;

#[test]
#[ignore = "takes half a minute"]
fn gateways_that_are_asked_to_stop_in_turn_cost_no_answer() {
    let stage = Stage::new(500, &[]);
    let slaves: Vec<_> = (1..=2).map(|number| stage.slave(number, 0)).collect();
    slaves.iter().for_each(until_ready);
    let mut gateways: Vec<_> = (0..2).map(|_| stage.gateway()).collect();
    gateways.iter().for_each(|gateway| until_ring(gateway, 2));
    let addrs = gateways.iter().map(|gateway| gateway.addr).collect();
    let bodies = (9..17).map(|n| clients::question(&format!("33:{n:08}"), "net_profit")).collect();
    let load = Clients::start(addrs, vec![bodies], number("KAMAITACHI_RATE", 300));
    let mut stretches = Vec::new();
    for _ in 0..ROUNDS {
        let begun = now();
        sleep(PAUSE / 2);
        let stops = now();
        let gateway = gateways.remove(0);
        let port = gateway.addr.port();
        assert!(gateway.signal_and_end("TERM").success());
        let gone = now();
        sleep(PAUSE / 4);
        gateways.push(stage.gateway_at(port));
        until_ring(&gateways[1], 2);
        stretches.push(("two gateways", begun, stops));
        stretches.push(("one stops", stops, gone));
        stretches.push(("one is away", gone, now()));
    }
    let answers = load.end();
    table::print(&answers, &stretches);
    assert_eq!(table::failed(&answers), 0, "{:?}", table::why(&answers));
}
