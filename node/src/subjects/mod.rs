//! The subjects of the nodes as a cache group: what a node remembers of its subjects is its part of
//! the group `subjects`, and what the master writes is deleted through the group in every slave.
//!
//! That is the earlier word: replication forgets what each commit touches whether the group works
//! or not, and what a slave answers is decided by its store alone. A delete carries the history and
//! the revision of the write. A slave that has the write ignores it; one that lags forgets what it
//! read before, and until it has the write remembers nothing of before, for ten seconds at the most
//! (see [`Engine::foretell`](crate::query::Engine::foretell)). So a delete that is lost, late,
//! repeated or out of turn changes what is read from the disk, never what is answered.
//!
//! - `outbox`: the master's writes on their way to the group, off the way of the write;
//! - `group`: the part of this node, as peers and the command line see it;
//! - `counters`: what became of deletes.
//!
//! Peers speak gRPC on the address that the node listens on anyway, under
//! [`GroupService::PREFIX`]. Like everything that nodes say to each other it is not for clients:
//! what a proxy passed on finds nothing there.

mod counters;
mod group;
mod outbox;

use std::{fmt, fmt::Display, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use kamaitachi_discovery::Found;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{group::Part, outbox::Outbox};
use crate::{
    api::{State, failure::Failure},
    group::{GroupService, InvalidPeers, PeerOptions, Peers, PeersCollector, Served},
    replication::{Body, proxied, refuse},
    store::WriteObserver,
};

/// The name of the group.
pub const GROUP: &str = "subjects";
/// Bytes of a message: a batch of deletes has half of it.
const MAX_MESSAGE: usize = 1 << 20;
/// How often what was foretold and did not come is given up.
const SWEEP: Duration = Duration::from_secs(1);
/// Between the pings of a peer that has nothing else to hear: nobody waits for a peer here.
const PING: Duration = Duration::from_secs(5);

/// Whom a node holds the group together with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The slaves; the node's own address may be among them.
    pub nodes: Found,
    /// The name under which they register themselves.
    pub service: String,
    /// What nodes prove to each other that they know, if anything.
    pub token: Option<SecretString>,
}

/// A node's part of the group.
pub(crate) struct Subjects {
    peers: Peers,
    service: GroupService,
    part: Arc<Part>,
    outbox: Arc<Outbox>,
    /// Ends what is watched.
    stop: CancellationToken,
    _tasks: [AbortOnDropHandle<()>; 2],
    _nodes: Found,
}

impl Subjects {
    /// Joins the group as the node that others know as `own`, whose life is `state`.
    ///
    /// # Errors
    /// The token can't be sent.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn join(
        own: &str,
        state: &Arc<State>,
        settings: Settings,
    ) -> Result<Self, InvalidPeers> {
        let Settings { nodes, service, token } = settings;
        let options = PeerOptions {
            service,
            token: token.clone(),
            ping_interval: PING,
            ..PeerOptions::default()
        };
        let peers = Peers::new(own, nodes.members(), options)?;
        let part = Arc::new(Part::new(Arc::clone(state), peers.clone()));
        let served: Arc<dyn Served> = Arc::clone(&part) as _;
        peers.join(&served);
        let outbox = Arc::new(Outbox::default());
        let (stop, sweeping) = (CancellationToken::new(), Arc::clone(state));
        let sending = outbox::send(Arc::clone(&outbox), Arc::clone(&part));
        let tasks = [tokio::spawn(sending), tokio::spawn(sweep(sweeping))];
        Ok(Self {
            service: GroupService::new(&peers, token, MAX_MESSAGE, &stop),
            peers,
            part,
            outbox,
            stop,
            _tasks: tasks.map(AbortOnDropHandle::new),
            _nodes: nodes,
        })
    }

    /// What must be told of a master's writes for the group to hear of them.
    pub(crate) fn observer(&self) -> Arc<dyn WriteObserver> {
        Arc::clone(&self.outbox) as _
    }

    /// Makes its numbers, and those of the group, part of the node's.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(PeersCollector::new(&self.peers)));
        let (part, outbox) = (Arc::clone(&self.part), Arc::clone(&self.outbox));
        registry.register_collector(Box::new(counters::Told { part, outbox }));
    }

    /// Answers a call to the group, which is to come from a peer: over HTTP/2, and past no proxy.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Display>,
    {
        if request.version() != Version::HTTP_2 || proxied(request.headers()) {
            return refuse(&Failure::UnknownPath);
        }
        let answer = self.service.answer(request).await;
        answer.map(|body| body.map_err(io::Error::other).boxed_unsync())
    }

    /// Lets those go who watch, so that the node can end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subjects")
            .field("peers", &self.peers.others().len())
            .finish_non_exhaustive()
    }
}

/// Gives up what was foretold and did not come.
async fn sweep(state: Arc<State>) {
    let mut turns = interval(SWEEP);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Some(core) = state.core() {
            core.engine.purge_foretold();
        }
    }
}
