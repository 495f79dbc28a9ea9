//! One upstream of a pool.
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use http::HeaderValue;
use kamaitachi_policies::ring::FULL_WEIGHT;

use super::Ramp;

/// Whether a member is fit to be asked. Clones are the same flag: a health checker holds one, the member another.
#[derive(Clone, Debug)]
pub struct Health(Arc<AtomicBool>);

impl Health {
    /// Healthy until somebody says otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Whether it is healthy.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says whether it is.
    pub fn set(&self, up: bool) {
        self.0.store(up, Ordering::Relaxed);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// A name that cannot be a member's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("member name {0:?} must be one or more visible ASCII characters")]
pub struct InvalidMember(String);

/// One upstream: its name, which is its place on the ring, and its service.
#[derive(Clone, Debug)]
pub struct Member<E> {
    pub(super) service: E,
    pub(super) health: Health,
    pub(super) about: Arc<About>,
    pub(super) weight: u8,
    pub(super) ramp: Option<Ramp>,
}

/// What responses and errors say of a member.
#[derive(Debug)]
pub(super) struct About {
    pub(super) name: Arc<str>,
    pub(super) header: HeaderValue,
    pub(super) in_flight: AtomicU32,
}

impl<E> Member<E> {
    /// A healthy member of full weight.
    ///
    /// # Errors
    ///
    /// [`InvalidMember`] when the name could not be written into a header.
    pub fn new(name: &str, service: E) -> Result<Self, InvalidMember> {
        let invalid = || InvalidMember(name.to_owned());
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid());
        }
        let header = HeaderValue::from_str(name).map_err(|_| invalid())?;
        let about = About { name: name.into(), header, in_flight: AtomicU32::new(0) };
        let (health, about) = (Health::new(), Arc::new(about));
        Ok(Self { service, health, about, weight: FULL_WEIGHT, ramp: None })
    }

    /// Shares this flag with whoever checks its health.
    #[must_use]
    pub fn with_health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// Takes `weight` percent of a full share of the keys; 0 drains it.
    #[must_use]
    pub fn with_weight(mut self, weight: u8) -> Self {
        self.weight = weight;
        self
    }

    /// Gives it the share of its keys that this says, for as long as it is not full.
    #[must_use]
    pub fn with_ramp(mut self, ramp: Ramp) -> Self {
        self.ramp = Some(ramp);
        self
    }

    /// Whether it is given `key`, if it owns it.
    pub(super) fn takes(&self, key: &[u8]) -> bool {
        self.ramp.as_ref().is_none_or(|ramp| ramp.share().takes(key))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.about.name
    }

    /// Its health.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Its service.
    #[must_use]
    pub fn service(&self) -> &E {
        &self.service
    }

    /// How many of its requests are without a response head; counted only under a load bound.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.about.in_flight.load(Ordering::Relaxed)
    }
}
