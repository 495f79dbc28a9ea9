//! The connection to one peer: calls with deadlines, its health, and the task that empties its
//! queue.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tracing::{debug, info, warn};

use super::{
    Shared,
    acks::Acks,
    call::{Origin, is_peers_fault},
    health::{Health, PeerState},
    op::Op,
    options::PeerOptions,
    queue::{Queue, Queued},
    words::{secured, told},
};
use crate::group::{
    MAX_VALUE,
    proto::{self, apply_reply, cache_client::CacheClient, sync_client::SyncClient},
};

/// Bytes of the writes of one message, the last one aside: with it still below what gRPC takes.
const BATCH_BYTES: usize = 512 << 10;
/// While a peer is out, and for a while after it failed or began anew, notes are compared so often.
const AGAIN: Duration = Duration::from_secs(30);
/// Bytes of a message, either way.
pub(in super::super) const MAX_MESSAGE: usize = MAX_VALUE + (1 << 20);
/// Bytes of an answer that is taken: with room for a peer that counts less strictly what it sends.
const MAX_ANSWER: usize = MAX_MESSAGE + (1 << 20);

#[derive(Debug)]
pub(in super::super) struct Link {
    pub(in super::super) addr: Arc<str>,
    channel: Channel,
    health: Health,
    queue: Queue,
    wake: Notify,
    /// Something may not have reached the peer: compare notes when it answers.
    behind: AtomicBool,
    /// The starts of its groups, as its last ping told them.
    lives: Mutex<Option<Vec<u64>>>,
    /// Shortens its waits, differently for each pair of peers.
    chance: AtomicU64,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// A peer as another sees it.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its address.
    pub addr: Arc<str>,
    /// What is thought of it.
    pub state: PeerState,
    /// Writes and bytes in its queue.
    pub queue: (usize, usize),
    /// Writes it has acknowledged.
    pub acknowledged: u64,
    /// Messages it did not take.
    pub failed: u64,
    /// Writes dropped because its queue was full.
    pub dropped: u64,
    /// Of its last ping.
    pub rtt: Duration,
    /// Why its last failed call failed.
    pub last_error: Option<Arc<str>>,
}

/// Why a peer gave no answer.
#[derive(Debug)]
pub(in super::super) enum CallError {
    /// It is in trouble, or we can't reach it.
    Down,
    /// It answered that the request can't be met.
    Said(Status),
}

impl Link {
    /// Connects when it is used first.
    pub(super) fn new(
        me: &str,
        addr: &Arc<str>,
        options: &PeerOptions,
    ) -> Result<Self, tonic::transport::Error> {
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{addr}"))?
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(options.keep_alive.0)
            .keep_alive_timeout(options.keep_alive.1)
            .keep_alive_while_idle(true);
        if let Some(tls) = &options.tls {
            endpoint = endpoint.tls_config(tls.clone())?;
        }
        Ok(Self {
            addr: Arc::clone(addr),
            channel: match &options.dial {
                None => endpoint.connect_lazy(),
                Some(dial) => endpoint.connect_with_connector_lazy(dial.clone()),
            },
            health: Health::default(),
            queue: Queue::new(options.queue),
            wake: Notify::new(),
            behind: AtomicBool::new(true),
            lives: Mutex::new(None),
            chance: AtomicU64::new(seed(me, addr)),
            counts: Counts::default(),
        })
    }

    pub(in super::super) fn is_ejected(&self) -> bool {
        self.health.is_ejected()
    }

    pub(in super::super) fn info(&self) -> PeerInfo {
        PeerInfo {
            addr: Arc::clone(&self.addr),
            state: self.health.state(),
            queue: self.queue.depth(),
            acknowledged: self.counts.acknowledged.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
            dropped: self.counts.dropped.load(Relaxed),
            rtt: self.health.rtt(),
            last_error: self.health.last_error(),
        }
    }

    /// Compare notes with the peer as soon as it answers.
    pub(super) fn is_behind(&self) {
        self.behind.store(true, Relaxed);
        self.wake.notify_one();
    }

    /// Takes a write for the peer. Never waits; gives how many writes were dropped for it.
    pub(super) fn push(&self, op: &Arc<Op>, acks: Option<&Arc<Acks>>) -> usize {
        let waiting: SmallVec<_> = acks.map(Arc::downgrade).into_iter().collect();
        let dropped = self.queue.push(Queued { op: Arc::clone(op), waiting });
        self.wake.notify_one();
        self.dropped(&dropped)
    }

    fn dropped(&self, dropped: &[Queued]) -> usize {
        if !dropped.is_empty() {
            self.behind.store(true, Relaxed);
            self.counts.dropped.fetch_add(dropped.len() as u64, Relaxed);
        }
        for queued in dropped {
            queued.waiting.iter().filter_map(std::sync::Weak::upgrade).for_each(|acks| acks.lost());
        }
        dropped.len()
    }

    /// A call to the peer's cache, for whoever asked this peer, and how long it may take.
    pub(in super::super) async fn call<T, R, Fut>(
        &self,
        shared: &Shared,
        message: T,
        (origin, at_most): (Origin, Duration),
        call: impl FnOnce(CacheClient<Channel>, tonic::Request<T>) -> Fut,
    ) -> Result<R, CallError>
    where
        Fut: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let request = shared.outgoing.request(message, origin, shared.epoch(), at_most);
        let client = CacheClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        self.outcome(shared, timeout(at_most, call(client, request)).await)
    }

    /// A call to the peer's side of the synchronisation.
    pub(super) async fn sync<T, R, Fut>(
        &self,
        shared: &Shared,
        message: T,
        call: impl FnOnce(SyncClient<Channel>, tonic::Request<T>) -> Fut,
    ) -> Result<R, CallError>
    where
        Fut: Future<Output = Result<tonic::Response<R>, Status>>,
    {
        let at_most = shared.options.sync_timeout;
        let request = shared.outgoing.request(message, Origin::Client, shared.epoch(), at_most);
        let client = SyncClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        self.outcome(shared, timeout(at_most, call(client, request)).await)
    }

    fn outcome<R>(
        &self,
        shared: &Shared,
        outcome: Result<Result<tonic::Response<R>, Status>, tokio::time::error::Elapsed>,
    ) -> Result<R, CallError> {
        let why = match outcome {
            Ok(Ok(response)) => {
                self.health.succeeded();
                return Ok(response.into_inner());
            }
            Ok(Err(status)) if !is_peers_fault(&status) => return Err(CallError::Said(status)),
            Ok(Err(status)) => secured(told(&status), shared.options.tls.is_some()),
            Err(_) => "no answer in time".to_owned(),
        };
        if self.health.failed(shared.options.eject_after, &why) {
            warn!(peer = %self.addr, reason = why, "peer ejected");
            self.behind.store(true, Relaxed);
            shared.compare_all();
        }
        // Wakes the task, which finds out what is the matter.
        self.wake.notify_one();
        Err(CallError::Down)
    }

    /// Keeps the peer up to date for as long as it is polled.
    pub(super) async fn keep(&self, shared: &Shared) {
        let mut back_off = shared.options.back_off;
        let mut pinged: Option<Instant> = None;
        let mut compared = Instant::now();
        loop {
            let due = pinged.is_none_or(|at| at.elapsed() >= shared.options.ping_interval);
            let went_well = if self.health.state() != PeerState::Alive || due {
                pinged = Some(Instant::now());
                self.ping(shared).await
            } else if self.behind.swap(false, AcqRel)
                || compared.elapsed() >= AGAIN && shared.is_unsettled()
            {
                compared = Instant::now();
                let compared = super::reconcile::with(self, shared).await;
                if !compared {
                    self.behind.store(true, Relaxed);
                }
                compared
            } else if self.queue.is_empty() {
                // Whatever wakes it, the loop looks at everything again.
                let _ = timeout(shared.options.ping_interval, self.wake.notified()).await;
                true
            } else {
                self.send(shared).await
            };
            if went_well {
                back_off = shared.options.back_off;
            } else {
                sleep(back_off.mul_f64(1.0 - self.chance() / 2.0)).await;
                back_off = (back_off * 2).min(shared.options.back_off_most);
            }
        }
    }

    async fn ping(&self, shared: &Shared) -> bool {
        let began = Instant::now();
        let ping = self.sync(shared, proto::PingRequest {}, async |mut client, request| {
            client.ping(request).await
        });
        let Ok(reply) = ping.await else { return false };
        self.heard_of(&reply.lives, shared);
        match self.health.readmit(began.elapsed()) {
            PeerState::Alive => {}
            PeerState::New => debug!(peer = %self.addr, "peer answers"),
            PeerState::Ejected => {
                info!(peer = %self.addr, "peer answers again");
                self.behind.store(true, Relaxed);
                shared.compare_all();
            }
        }
        true
    }

    /// A group that began anew at the peer lacks what it had; and what it had told some alone,
    /// nobody tells the others any more.
    fn heard_of(&self, lives: &[u64], shared: &Shared) {
        let before = self.lives.lock().replace(lives.to_owned());
        if before.is_some_and(|before| before != lives) {
            debug!(peer = %self.addr, "its groups began anew");
            self.behind.store(true, Relaxed);
            shared.compare_all();
        }
    }

    /// A number from 0 to 1, by chance enough that peers don't move in step (SplitMix64).
    fn chance(&self) -> f64 {
        let state = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    /// Sends the oldest writes; those that did not arrive stay in the queue.
    async fn send(&self, shared: &Shared) -> bool {
        let now = Instant::now().into_std();
        let batch = self.queue.take(shared.options.batch, BATCH_BYTES);
        let (mut sent, mut writes) = (Vec::with_capacity(batch.len()), Vec::new());
        for queued in batch {
            match queued.op.to_wire(now) {
                Some(write) => {
                    writes.push(write);
                    sent.push(queued);
                }
                None => self.acknowledge(&queued),
            }
        }
        match self.apply(shared, writes).await {
            Ok(outcomes) => {
                for (queued, outcome) in sent.iter().zip(outcomes) {
                    self.answered(shared, queued, outcome);
                }
                true
            }
            Err(_) => {
                self.counts.failed.fetch_add(1, Relaxed);
                shared.each_group(&sent, |group, _| group.sync_failed(1));
                let dropped = self.queue.give_back(sent);
                shared.each_group(&dropped, |group, count| group.sync_dropped(count));
                self.dropped(&dropped);
                false
            }
        }
    }

    /// Sends writes and takes in what the peer knows better.
    pub(super) async fn apply(
        &self,
        shared: &Shared,
        writes: Vec<proto::Write>,
    ) -> Result<Vec<apply_reply::Outcome>, CallError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let message = proto::ApplyRequest { writes };
        let reply =
            self.sync(shared, message, async |mut client, request| client.apply(request).await);
        let reply = reply.await?;
        let outcomes = reply.outcomes().collect();
        shared.take_in(reply.newer);
        Ok(outcomes)
    }

    fn answered(&self, shared: &Shared, queued: &Queued, outcome: apply_reply::Outcome) {
        use apply_reply::Outcome;
        let Some(group) = shared.group(&queued.op.group) else { return };
        match outcome {
            Outcome::Applied | Outcome::Known | Outcome::Old => {
                group.sync_acknowledged(1);
                self.acknowledge(queued);
            }
            Outcome::Forgotten => {
                group.forgotten(&queued.op.key, queued.op.version);
                self.acknowledge(queued);
            }
            Outcome::Refused | Outcome::Unknown => {
                group.sync_failed(1);
                self.counts.failed.fetch_add(1, Relaxed);
                queued
                    .waiting
                    .iter()
                    .filter_map(std::sync::Weak::upgrade)
                    .for_each(|acks| acks.lost());
            }
        }
    }

    fn acknowledge(&self, queued: &Queued) {
        self.counts.acknowledged.fetch_add(1, Relaxed);
        for acks in queued.waiting.iter().filter_map(std::sync::Weak::upgrade) {
            acks.acknowledged(&self.addr);
        }
        if let Some(settle) = &queued.op.settle {
            settle.acknowledged(&queued.op);
        }
    }
}

/// FNV-1a of the two addresses.
fn seed(me: &str, addr: &str) -> u64 {
    me.bytes().chain([0]).chain(addr.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
