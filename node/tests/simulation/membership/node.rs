//! A node: keeps itself registered, and answers.

use std::{convert::Infallible, io, time::Duration};

use kamaitachi_discovery::retry::Retry;
use kamaitachi_serve::BackOff;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::etcd::{self, Ask, Told};
use crate::rig::wire::{Link, serve};

pub(crate) const PORT: u16 = 8081;
pub(crate) const TTL: Duration = Duration::from_secs(2);
pub(crate) const BACK_OFF: BackOff = BackOff {
    first: Duration::from_millis(100),
    most: Duration::from_secs(1),
    forgive_after: Duration::from_secs(3),
};

pub(crate) async fn run(own: &'static str, seed: u64) -> turmoil::Result {
    let registering = Box::pin(register(own, seed));
    let serving = Box::pin(serve(PORT, |mut link: Link| async move {
        loop {
            let asked = link.bytes().await?;
            link.put(&asked).await?;
        }
    }));
    futures_util::future::select(serving, registering).await;
    Ok(())
}

async fn register(own: &str, seed: u64) {
    let (mut retry, mut rng) = (Retry::new(BACK_OFF), StdRng::seed_from_u64(seed));
    loop {
        let Err(_) = session(own, rng.random()).await;
        sleep(retry.wait(rng.random())).await;
    }
}

/// One lease, until it is lost or the key is gone.
async fn session(own: &str, lease: u64) -> io::Result<Infallible> {
    let mut link = Link::connect(&format!("etcd:{}", etcd::PORT)).await?;
    let key = format!("{own}:{PORT}");
    let ttl = u64::try_from(TTL.as_millis()).unwrap();
    link.ask::<Told>(&Ask::Put { key: key.clone(), lease, ttl }).await?;
    loop {
        sleep(TTL / 3).await;
        if !matches!(link.ask(&Ask::Beat(lease)).await?, Told::Done) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // The real session watches its key; to look for it comes to the same.
        if let Told::Listed { keys, .. } = link.ask(&Ask::List).await?
            && !keys.contains(&key)
        {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
}
