//! A service that registers itself: a key under a lease that is kept alive, for as long as the service lives.
//!
//! One session grants a lease, puts the key, keeps the lease alive and watches its own key. Whatever takes the
//! registration away is met by registering again: a lease that expired (the process was paused) or was revoked, a key
//! that somebody deleted or overwrote, an etcd that was restarted, with its data or without. Between tries it waits a
//! little longer each time, and never the same time as others.
//!
//! A process that dies takes its registration with it after [`etcd::Settings::ttl`]; one that ends well takes it back
//! with [`Registration::deregister`].

mod session;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use kamaitachi_serve::spawn_supervised;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{NodeAddr, etcd, follow::BACK_OFF, retry::Retry};
use session::Session;

/// What is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name under which it is looked for.
    pub name: String,
    /// The address under which it is reached.
    pub addr: NodeAddr,
}

/// How a registration stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is in etcd, as far as can be known from here.
    pub registered: bool,
    /// How often it was put there.
    pub times: u64,
    /// When it was last seen to be alive, by the wall clock.
    pub seen: Option<SystemTime>,
    /// Why it is not there.
    pub trouble: Option<String>,
}

impl Standing {
    /// Whether it has been there at all.
    #[must_use]
    pub const fn was_registered(&self) -> bool {
        self.times > 0
    }
}

/// Longest wait of [`Registration::deregister`] for etcd: the lease ends by itself soon after.
const DEREGISTER_WITHIN: Duration = Duration::from_secs(2);

/// A registration that is kept up. Dropped, it is no longer kept up and ends with its lease.
#[derive(Debug)]
pub struct Registration {
    standing: watch::Receiver<Standing>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Registration {
    /// Registers a service, as soon as etcd can be reached, and from then on keeps it registered.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(etcd: etcd::Settings, service: Service) -> Self {
        let (told, standing) = watch::channel(Standing::default());
        let leave = CancellationToken::new();
        let shared = Arc::new((etcd, service, told, leave.clone()));
        let task = spawn_supervised("registration", BACK_OFF, move || {
            let shared = Arc::clone(&shared);
            async move {
                let (etcd, service, told, leave) = &*shared;
                keep_up(etcd, service, told, leave).await;
                Ok::<_, Infallible>(())
            }
        });
        Self { standing, leave, task }
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// The same, to be followed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Takes the registration back: the lease is revoked, and the key goes with it. Where etcd does not answer within 2 s
    /// that is left to the lease's end. Answers whether etcd has confirmed it, or nothing was registered.
    ///
    /// Cancel safety: dropped, the registration is no longer kept up and ends with its lease.
    pub async fn deregister(mut self) -> bool {
        self.leave.cancel();
        let ended = tokio::time::timeout(DEREGISTER_WITHIN, &mut self.task).await;
        if ended.is_err() {
            warn!("etcd did not confirm the deregistration; it ends with its lease");
        }
        ended.is_ok() && self.standing.borrow().trouble.is_none()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Session after session, until told to leave.
async fn keep_up(
    etcd: &etcd::Settings,
    service: &Service,
    told: &watch::Sender<Standing>,
    leave: &CancellationToken,
) {
    let mut retry = Retry::new(BACK_OFF);
    for endpoint in etcd.endpoints.iter().cycle() {
        let began = Instant::now();
        let session = Session { etcd, service, told, leave };
        let Err(failure) = session.run(endpoint).await else {
            info!(service = service.name, addr = %service.addr, "deregistered");
            return;
        };
        retry.worked_for(began.elapsed());
        let failure = etcd::explain(etcd, endpoint, failure).await;
        let wait = retry.wait(rand::random());
        warn!(%failure, endpoint, service = service.name, addr = %service.addr, retry_in = ?wait, "not registered");
        told.send_modify(|standing| {
            standing.registered = false;
            standing.trouble = Some(failure.to_string());
        });
        tokio::select! {
            () = sleep(wait) => {}
            () = leave.cancelled() => return,
        }
    }
}
