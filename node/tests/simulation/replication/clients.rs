//! Who writes and who reads.

use std::{convert::Infallible, io, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::{
    SLAVES,
    account::{Account, Ask, SUBJECTS, Told},
    hosts::CLIENTS,
};
use crate::rig::wire::Link;

/// Writes for ever, on a new connection whenever one fails.
pub(crate) async fn writer(account: Account, seed: u64) -> turmoil::Result {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let Err(_) = write(&account, &mut rng).await;
        pause(&mut rng, 200).await;
    }
}

async fn write(account: &Account, rng: &mut StdRng) -> io::Result<Infallible> {
    let mut link = Link::connect(&format!("master:{CLIENTS}")).await?;
    loop {
        let (subject, value) = (rng.random_range(0..SUBJECTS), account.value());
        let Told::Written(revision) = link.ask(&Ask::Write(subject, value)).await? else {
            panic!("the master does not write");
        };
        account.acknowledged(revision, subject, value);
        pause(rng, 150).await;
    }
}

/// Reads for ever, now of this slave and now of that, mostly what was written last.
pub(crate) async fn reader(account: Account, seed: u64) -> turmoil::Result {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let slave = SLAVES[rng.random_range(0..SLAVES.len())];
        // One that cannot be reached is left alone.
        let _ = read(&account, &mut rng, slave).await;
        pause(&mut rng, 100).await;
    }
}

async fn read(account: &Account, rng: &mut StdRng, slave: &str) -> io::Result<()> {
    let mut link = Link::connect(&format!("{slave}:{CLIENTS}")).await?;
    for _ in 0..rng.random_range(1..10) {
        let (subject, last) = (rng.random_range(0..SUBJECTS), account.last_acknowledged());
        let least = if rng.random_bool(0.7) { last } else { rng.random_range(0..=last) };
        let told = link.ask(&Ask::Read(subject, least)).await?;
        account.read(slave, subject, least, &told);
        pause(rng, 80).await;
    }
    Ok(())
}

async fn pause(rng: &mut StdRng, most: u64) {
    sleep(Duration::from_millis(rng.random_range(1..most))).await;
}
