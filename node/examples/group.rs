//! A cache group inside a service: two peers in one process, one loader, no other server.
//!
//! Run: `cargo run -p kamaitachi-node --example group`

use std::{error::Error, sync::Arc};

use kamaitachi_discovery::{NodeAddr, fixed};
use kamaitachi_node::group::{
    Bound, Group, GroupServer, PeerOptions, Peers, ServerOptions, SetOptions, Wait,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let any = ([127, 0, 0, 1], 0).into();
    let bound = [Bound::bind(any).await?, Bound::bind(any).await?];
    let members = bound.iter().map(|bound| bound.local_addr().to_string().parse());
    let members: Vec<NodeAddr> = members.collect::<Result<_, _>>()?;
    let (mut groups, mut servers) = (Vec::new(), Vec::new());
    for bound in bound {
        let me = bound.local_addr().to_string();
        // With etcd: `follow::start(…).members()` in place of `fixed`.
        let peers = Peers::new(&me, fixed(members.clone()), PeerOptions::default())?;
        let squares = Group::<Vec<u32>>::json("squares").loader(move |key: Arc<str>| {
            println!("{me} loads {key}");
            async move { key.parse::<u32>().map(|n| Some(vec![n, n * n])) }
        });
        groups.push(squares.peers(&peers).build());
        servers.push(GroupServer::start(bound, &peers, ServerOptions::default()).await?);
    }
    // Whoever is asked: the owner of the key loads, once.
    println!("{:?} {:?}", groups[0].get("12").await?, groups[1].get("12").await?);
    let everywhere = SetOptions { ttl: None, wait: Wait::All };
    println!("{:?}", groups[0].set_with("12", vec![], everywhere).await?);
    println!("{:?}", groups[1].get("12").await?);
    Ok(())
}
