//! The members of a service, by its registrations in etcd.
//!
//! The prefix is listed, then watched from that revision on. Whatever goes wrong (the connection, a watch that etcd
//! cancels, history that was compacted away), the answer is the same: list again, at another endpoint where the first
//! one failed. So that a watch that lies dead or starved without saying so is noticed too, the prefix is also listed
//! every [`Settings::relist`], and a watch that is silent though it was asked is given up.
//!
//! While etcd is gone the members stay as they are.

mod list;
mod names;
mod vouch;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use etcd_client::{Client, EventType, WatchOptions, WatchResponse, WatchStream};
use kamaitachi_serve::{BackOff, spawn_supervised};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use crate::{
    Found, Health, NodeAddr, Origin,
    allow::Allow,
    etcd::{self, EtcdError, call, connect, explain},
    retry::Retry,
    view::{Change, Entry, Guard, MOST_NODES, Refused, View},
};
use list::list;
use names::Names;
pub use vouch::Vouch;

/// What is followed, and what of it is believed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the service.
    pub service: String,
    /// Which values may become members.
    pub allow: Allow,
    /// When the loss of members is not believed.
    pub guard: Guard,
    /// Who else knows whether a member is there. Default: nobody.
    pub vouch: Vouch,
    /// The most members there can be.
    pub most: usize,
    /// How often everything is listed, though nothing seems to have changed. Default 30 s.
    pub relist: Duration,
    /// Where the members that [`start`] is given are known from.
    pub origin: Origin,
    /// When those were seen to be right.
    pub known_at: Option<SystemTime>,
}

impl Settings {
    /// The defaults for a service.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            allow: Allow::default(),
            guard: Guard::default(),
            vouch: Vouch::default(),
            most: MOST_NODES,
            relist: Duration::from_secs(30),
            origin: Origin::Static,
            known_at: None,
        }
    }
}

/// Short at first, since an etcd that was restarted is back soon; then never longer than a node's lease is late.
pub(crate) const BACK_OFF: BackOff = BackOff {
    first: Duration::from_millis(100),
    most: Duration::from_secs(5),
    forgive_after: Duration::from_secs(10),
};

/// How often it is asked whether somebody still vouches for those that are held on that word: soon enough that nobody
/// takes a node for a member long after it has gone.
const ASKED_AGAIN: Duration = Duration::from_millis(100);

/// How many refusals of one answer are logged one by one.
const LOGGED: usize = 20;

/// Follows a service from now on, beginning with the members in `start`. Ends when everything that was made from the
/// answer is gone.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn start(etcd: etcd::Settings, settings: Settings, start: Vec<NodeAddr>) -> Found {
    let mut start = start;
    start.sort();
    start.dedup();
    let (members, followed) = watch::channel(Arc::from(start));
    let begin = Health { synced: settings.known_at, ..Health::new(settings.origin) };
    let (health, healths) = watch::channel(begin);
    let shared = Arc::new((etcd, settings, members, health));
    let task = spawn_supervised("following of a service", BACK_OFF, move || {
        let shared = Arc::clone(&shared);
        async move {
            let (etcd, settings, members, health) = &*shared;
            Follower::new(etcd, settings, members, health).run().await;
            Ok::<_, Infallible>(())
        }
    });
    Found::by_task(followed, healths, task)
}

struct Follower<'a> {
    etcd: &'a etcd::Settings,
    settings: &'a Settings,
    members: &'a watch::Sender<Arc<[NodeAddr]>>,
    health: &'a watch::Sender<Health>,
    view: View,
    names: Names,
}

impl<'a> Follower<'a> {
    fn new(
        etcd: &'a etcd::Settings,
        settings: &'a Settings,
        members: &'a watch::Sender<Arc<[NodeAddr]>>,
        health: &'a watch::Sender<Health>,
    ) -> Self {
        let known = Arc::clone(&members.borrow());
        let Settings { allow, guard, most, .. } = settings.clone();
        let view = View::new(allow, most, guard, known.iter().cloned());
        Self { etcd, settings, members, health, view, names: Names::default() }
    }

    async fn run(mut self) {
        let mut retry = Retry::new(BACK_OFF);
        for endpoint in self.etcd.endpoints.iter().cycle() {
            let began = Instant::now();
            let Err(failure) = self.session(endpoint).await;
            retry.worked_for(began.elapsed());
            let failure = explain(self.etcd, endpoint, failure).await;
            let wait = retry.wait(rand::random());
            let service = &self.settings.service;
            warn!(%failure, endpoint, service, retry_in = ?wait, "etcd is lost; the members stay as they are");
            self.health.send_modify(|health| {
                health.connected = false;
                health.trouble = Some(failure.to_string());
            });
            sleep(wait).await;
        }
    }

    /// Follows through one endpoint until that fails.
    async fn session(&mut self, endpoint: &str) -> Result<Infallible, EtcdError> {
        let mut client = connect(self.etcd, endpoint).await?;
        loop {
            self.list(&mut client).await?;
            let mut watch = self.watch(&mut client).await?;
            self.follow(&mut client, &mut watch).await?;
        }
    }

    /// Follows one watch until it is better to begin another.
    async fn follow(
        &mut self,
        client: &mut Client,
        watch: &mut WatchStream,
    ) -> Result<(), EtcdError> {
        let mut heard = true;
        let mut listed = Instant::now();
        loop {
            let relist = listed + self.settings.relist;
            let confirm = self.view.confirm_at().map(Instant::from_std);
            let turn = confirm.map_or(relist, |confirm| confirm.min(relist));
            tokio::select! {
                message = watch.message() => {
                    let message = message
                        .map_err(|source| EtcdError::Refused { what: "watch", source })?
                        .ok_or(EtcdError::Ended("watch"))?;
                    heard = true;
                    if message.compact_revision() > 0 {
                        info!(revision = message.compact_revision(), "history was compacted; listing again");
                        return Ok(());
                    }
                    if message.canceled() {
                        return Err(EtcdError::Cancelled(message.cancel_reason().to_owned()));
                    }
                    self.change(&message).await;
                }
                () = sleep(ASKED_AGAIN), if self.view.holds_on_word() => {
                    let vouch = &self.settings.vouch;
                    self.view.release(Instant::now().into_std(), &|addr| vouch.says(addr));
                    self.publish(&[]);
                }
                () = sleep_until(turn) => {
                    if !heard && turn == relist {
                        return Err(EtcdError::Silent(self.settings.relist));
                    }
                    if self.list(client).await? {
                        // The watch may have missed what the list showed.
                        return Ok(());
                    }
                    let asked = watch.request_progress().await;
                    asked.map_err(|source| EtcdError::Refused { what: "watch", source })?;
                    (heard, listed) = (false, Instant::now());
                }
            }
        }
    }

    async fn watch(&self, client: &mut Client) -> Result<WatchStream, EtcdError> {
        let options = WatchOptions::new()
            .with_prefix()
            .with_start_revision(self.view.revision() + 1)
            .with_prev_key()
            .with_progress_notify();
        let keys = self.etcd.keys_of(&self.settings.service);
        call("watch", client.watch(keys, Some(options))).await
    }

    /// Lists everything; answers whether a watch that was begun before may have missed something: the members are others
    /// than it told, or this store is behind the one that it told of, and what it will tell begins later.
    async fn list(&mut self, client: &mut Client) -> Result<bool, EtcdError> {
        let prefix = self.etcd.keys_of(&self.settings.service);
        let (mark, pairs) = list(client, &prefix).await?;
        let entries = || pairs.iter().map(|(key, value)| Entry { key, value });
        self.names.resolve(entries(), true).await;
        let names = &self.names;
        let resolve = |host: &str| names.addresses(host);
        let before = self.view.revision();
        let refused = self.view.list(Instant::now().into_std(), mark, entries(), &resolve);
        Ok(self.publish(&refused) || self.view.revision() < before)
    }

    async fn change(&mut self, message: &WatchResponse) {
        let prefix = self.etcd.keys_of(&self.settings.service);
        let changes: Vec<_> = message
            .events()
            .iter()
            .filter_map(|event| {
                let kv = event.kv()?;
                let key = kv.key().strip_prefix(prefix.as_bytes())?;
                let revision = kv.mod_revision();
                Some(match event.event_type() {
                    EventType::Put => {
                        Change::Put { entry: Entry { key, value: kv.value() }, revision }
                    }
                    EventType::Delete => {
                        // Where it is not known any more what was there, it may have been.
                        let leased = event.prev_kv().is_none_or(|before| before.lease() != 0);
                        Change::Delete { key, leased, revision }
                    }
                })
            })
            .collect();
        let puts = changes.iter().filter_map(|change| match change {
            Change::Put { entry, .. } => Some(*entry),
            Change::Delete { .. } => None,
        });
        self.names.resolve(puts, false).await;
        let names = &self.names;
        let resolve = |host: &str| names.addresses(host);
        let vouched = |addr: &NodeAddr| self.settings.vouch.says(addr);
        let now = Instant::now().into_std();
        let refused = self.view.changes(now, &changes, &resolve, &vouched);
        self.publish(&refused);
    }

    /// Tells what is known now; answers whether the members are others than before.
    fn publish(&self, refused: &[Refused]) -> bool {
        let service = &self.settings.service;
        for Refused { key, why } in refused.iter().take(LOGGED) {
            warn!(service, key, reason = %why, "a registration is not taken");
        }
        if let Some(more) = refused.len().checked_sub(LOGGED).filter(|more| *more > 0) {
            warn!(service, more, "and more registrations are not taken");
        }
        let members = self.view.members();
        let held = self.view.held();
        let changed = self.members.send_if_modified(|known| {
            let changed = **known != *members;
            if changed {
                info!(service, ?members, before = known.len(), held, "members changed");
                *known = members.into();
            }
            changed
        });
        self.health.send_modify(|health| {
            if self.view.holds() > health.holds {
                let why = if self.view.holds_on_word() {
                    "registrations of members that serve have ended together"
                } else {
                    "etcd lists far fewer members at once"
                };
                warn!(service, held, why, "members are kept that are not registered");
            }
            health.origin = Origin::Etcd;
            health.synced = Some(SystemTime::now());
            health.connected = true;
            health.trouble = None;
            health.epoch += u64::from(changed);
            health.refused = self.view.refused();
            health.holds = self.view.holds();
            health.held = held;
        });
        changed
    }
}
