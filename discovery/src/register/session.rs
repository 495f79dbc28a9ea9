//! One registration at one endpoint, from the lease to its loss.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use etcd_client::{
    Client, Event, EventType, LeaseGrantOptions, LeaseKeepAliveStream, LeaseKeeper, PutOptions,
    WatchOptions, WatchStream,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Service, Standing};
use crate::etcd::{self, EtcdError, call, connect};

pub(super) struct Session<'a> {
    pub(super) etcd: &'a etcd::Settings,
    pub(super) service: &'a Service,
    pub(super) told: &'a watch::Sender<Standing>,
    pub(super) leave: &'a CancellationToken,
}

/// What a session holds once the key is there.
struct Registered {
    keeper: LeaseKeeper,
    kept: LeaseKeepAliveStream,
    watch: WatchStream,
}

impl Session<'_> {
    /// Keeps the service registered until told to leave; then takes the registration back.
    pub(super) async fn run(&self, endpoint: &str) -> Result<(), EtcdError> {
        // Chosen here, so that the lease can be revoked even if the answer to its grant was never read.
        let lease = i64::from(rand::random::<u32>()) << 24 | i64::from(rand::random::<u16>()) | 1;
        let mut connected = None;
        let kept = async {
            let client = connected.insert(connect(self.etcd, endpoint).await?);
            let mut registered = self.register(client, lease, endpoint).await?;
            self.keep(client, &mut registered, lease).await
        };
        tokio::select! {
            biased;
            () = self.leave.cancelled() => {}
            kept = kept => match kept? {},
        }
        if let Some(mut client) = connected {
            call("revoke lease", client.lease_revoke(lease)).await?;
        }
        self.told.send_modify(|standing| {
            standing.registered = false;
            standing.trouble = None;
        });
        Ok(())
    }

    async fn register(
        &self,
        client: &mut Client,
        lease: i64,
        endpoint: &str,
    ) -> Result<Registered, EtcdError> {
        let ttl = i64::try_from(self.etcd.ttl.as_secs()).unwrap_or(i64::MAX).max(1);
        let options = LeaseGrantOptions::new().with_id(lease);
        call("grant lease", client.lease_grant(ttl, Some(options))).await?;
        let (keeper, kept) = call("keep alive", client.lease_keep_alive(lease)).await?;
        let revision = self.put(client, lease).await?;
        let options = WatchOptions::new().with_start_revision(revision + 1).with_progress_notify();
        let watch = call("watch", client.watch(self.key(), Some(options))).await?;
        let Service { name, addr } = self.service;
        info!(service = name, %addr, endpoint, key = self.key(), "registered");
        Ok(Registered { keeper, kept, watch })
    }

    /// Puts the key; answers at which revision.
    async fn put(&self, client: &mut Client, lease: i64) -> Result<i64, EtcdError> {
        let options = PutOptions::new().with_lease(lease);
        let value = self.service.addr.as_str();
        let put = call("put", client.put(self.key(), value, Some(options))).await?;
        self.told.send_modify(|standing| {
            standing.registered = true;
            standing.times += 1;
            standing.seen = Some(SystemTime::now());
            standing.trouble = None;
        });
        Ok(put.header().map_or(0, etcd_client::ResponseHeader::revision))
    }

    fn key(&self) -> String {
        format!("{}{}", self.etcd.keys_of(&self.service.name), self.service.addr)
    }

    /// Never ends well.
    async fn keep(
        &self,
        client: &mut Client,
        registered: &mut Registered,
        lease: i64,
    ) -> Result<Infallible, EtcdError> {
        let Registered { keeper, kept, watch } = registered;
        let ttl = self.etcd.ttl.max(Duration::from_secs(1));
        let mut beats = interval(ttl / 3);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends = Instant::now() + ttl;
        loop {
            tokio::select! {
                _ = beats.tick() => {
                    let sent = keeper.keep_alive().await;
                    sent.map_err(|source| EtcdError::Refused { what: "keep alive", source })?;
                }
                answer = kept.message() => {
                    let answer = answer
                        .map_err(|source| EtcdError::Refused { what: "keep alive", source })?
                        .ok_or(EtcdError::Ended("keep alive"))?;
                    if answer.ttl() <= 0 {
                        return Err(EtcdError::LeaseGone);
                    }
                    ends = Instant::now() + ttl;
                    self.told.send_modify(|standing| standing.seen = Some(SystemTime::now()));
                }
                message = watch.message() => {
                    let message = message
                        .map_err(|source| EtcdError::Refused { what: "watch", source })?
                        .ok_or(EtcdError::Ended("watch"))?;
                    if message.canceled() {
                        return Err(EtcdError::Cancelled(message.cancel_reason().to_owned()));
                    }
                    if self.is_taken_away(message.events(), lease) {
                        self.put(client, lease).await?;
                    }
                }
                () = sleep_until(ends) => return Err(EtcdError::LeaseGone),
            }
        }
    }

    /// Whether these changes of our key leave something that is not ours.
    fn is_taken_away(&self, events: &[Event], lease: i64) -> bool {
        let Some((kind, kv)) =
            events.last().and_then(|event| Some((event.event_type(), event.kv()?)))
        else {
            return false;
        };
        let Service { name, addr } = self.service;
        match kind {
            EventType::Put if kv.value() != addr.as_str().as_bytes() => {
                warn!(service = name, %addr, "somebody has overwritten the registration; putting it back");
                true
            }
            EventType::Put => {
                if kv.lease() != lease {
                    // To take it back would be taken for the same there, and so on for ever.
                    warn!(service = name, %addr, "another process has registered the same address");
                }
                false
            }
            EventType::Delete => {
                self.told.send_modify(|standing| standing.registered = false);
                warn!(service = name, %addr, "the registration is gone; putting it back");
                true
            }
        }
    }
}
