//! A host: the group as a service would embed it, over the simulated network, and its client.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::stream;
use kamaitachi_discovery::Membership;
use kamaitachi_node::group::{
    Bound, Dial, Group, GroupServer, HotKeys, PeerOptions, Peers, QueueLimits, ServerOptions,
    SomePeers,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use turmoil::net::{TcpListener, TcpStream};

use super::{Kind, PORT, account::Account, addr, client};

pub(crate) const GET: Duration = Duration::from_millis(800);
pub(crate) const LOAD: Duration = Duration::from_secs(1);

fn options(kind: Kind) -> PeerOptions {
    let queue = QueueLimits { entries: if kind.narrow { 4 } else { 1000 }, bytes: 8 << 20 };
    PeerOptions {
        connect_timeout: Duration::from_millis(500),
        get_timeout: GET,
        sync_timeout: Duration::from_millis(800),
        ping_interval: Duration::from_millis(400),
        back_off: Duration::from_millis(20),
        back_off_most: Duration::from_secs(1),
        // What the simulated network loses it does not send again: a connection that lost something has to end.
        keep_alive: (Duration::from_secs(1), Duration::from_secs(1)),
        queue,
        dial: Some(Dial::new(TcpStream::connect)),
        ..PeerOptions::default()
    }
}

/// The clock of a peer: some are more ahead than others follow.
fn clock(seed: u64, peer: usize) -> impl Fn() -> SystemTime {
    let mut rng = StdRng::seed_from_u64(seed + peer as u64);
    let ahead = Duration::from_secs(1_700_000_000 + rng.random_range(0..180));
    move || SystemTime::UNIX_EPOCH + ahead + turmoil::sim_elapsed().unwrap_or_default()
}

pub(crate) async fn run(
    peer: usize,
    kind: Kind,
    seed: u64,
    account: Account,
    members: Membership,
) -> turmoil::Result {
    let life = account.begins(peer);
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let connections = stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let bound = Bound::over(([0; 4], PORT).into(), Box::pin(connections));
    let peers = Peers::new(addr(peer).as_str(), members, options(kind))?;
    let hot = HotKeys { rate: 3, life: Duration::from_secs(2), ..HotKeys::default() };
    let mut group = Group::bytes("group")
        .jitter(0.0)
        .hot_keys(hot)
        .negative_ttl(Duration::from_secs(2))
        .load_timeout(LOAD)
        .wall_clock(clock(seed, peer))
        .identity(seed << 16 | life << 2 | peer as u64)
        .loader(|key: Arc<str>| async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Ok::<_, String>(key.starts_with("loaded").then(|| Bytes::from_static(b"from below")))
        });
    if kind.some_hold {
        group = group.strategy(SomePeers::Successors(1));
    }
    if kind.forgetful {
        group = group.tombstones(2, Duration::from_secs(3));
    }
    let group = group.peers(&peers).build();
    let _server = GroupServer::start(bound, &peers, ServerOptions::default()).await?;
    let rng = StdRng::seed_from_u64(seed << 16 | life << 2 | peer as u64);
    client::run(client::Client { peer, life, group, account, rng }).await;
    Ok(())
}
