//! A gateway that dies.

use std::process::Command;

use crate::cluster::{self, Cluster, under_load};

#[test]
fn a_gateway_that_is_killed_harms_no_node_and_serves_from_its_start() {
    let cluster = Cluster::start(&[]);
    let addrs: Vec<_> = cluster.nodes.iter().map(|node| node.addr).collect();
    assert_eq!(cluster::read(cluster.gateway.addr, 1).unwrap().status, 200);
    cluster.gateway.kill();
    let again = cluster::gateway(Command::new(cluster::GATEWAY), &addrs, &[]);
    let met = under_load(again.addr, |met| met.more(100));
    assert_eq!(met.failed(), 0, "{met:?}");
    for node in &cluster.nodes {
        assert_eq!(node.get("/readyz").status, 200);
        assert_eq!(node.metric("kamaitachi_node_panics_total"), 0.0);
    }
}
