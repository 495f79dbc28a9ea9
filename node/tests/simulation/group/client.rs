//! Who uses the group at one peer, and looks whether it sees what it wrote.

use std::time::Duration;

use bytes::Bytes;
use kamaitachi_node::group::{Group, SetOptions, Ttl, Version, Wait};
use rand::{RngExt, rngs::StdRng};
use tokio::time::{Instant, sleep};

use super::{
    account::{Account, KEYS, What},
    peer::{GET, LOAD},
};

pub(crate) struct Client {
    pub(crate) peer: usize,
    pub(crate) life: u64,
    pub(crate) group: Group<Bytes>,
    pub(crate) account: Account,
    pub(crate) rng: StdRng,
}

pub(crate) fn key(at: usize) -> String {
    format!("key{at}")
}

pub(crate) async fn run(mut client: Client) {
    loop {
        let pause = client.rng.random_range(5..120);
        sleep(Duration::from_millis(pause)).await;
        if client.account.is_quiet() {
            client.look().await;
            continue;
        }
        let at = client.rng.random_range(0..KEYS);
        match client.rng.random_range(0..100) {
            0..32 => client.get(at, Version::ZERO).await,
            32..36 => drop(client.timed("loaded").await),
            36..40 => client.get_many().await,
            40..70 => client.set(at).await,
            70..97 => client.delete(at).await,
            _ => client.clear(at).await,
        }
    }
}

impl Client {
    fn wait(&mut self) -> Wait {
        if self.rng.random_bool(0.2) { Wait::All } else { Wait::None }
    }

    /// A get, which has an end whatever the others do.
    async fn timed(&self, key: &str) -> Option<Bytes> {
        let began = Instant::now();
        let got = self.group.get(key).await;
        let took = began.elapsed();
        assert!(took < GET + LOAD + Duration::from_millis(500), "a get of {key} took {took:?}");
        got.ok().flatten()
    }

    /// A get that is to see nothing as old as a write of its own.
    async fn get(&self, at: usize, own: Version) {
        let got = self.timed(&key(at)).await;
        self.account.got(self.peer, at, got.as_deref(), own);
    }

    async fn get_many(&self) {
        let keys: Vec<String> = (0..KEYS).map(key).collect();
        for (at, got) in self.group.get_many(&keys).await.into_iter().enumerate() {
            self.account.got(self.peer, at, got.ok().flatten().as_deref(), Version::ZERO);
        }
    }

    async fn set(&mut self, at: usize) {
        let wait = self.wait();
        let (value, begun) = self.account.sets(self.peer, self.life, at);
        let options = SetOptions { ttl: None, wait };
        let written = self.group.set_with(&key(at), value, options).await.unwrap();
        self.account.wrote(begun, written, wait);
        if wait == Wait::None && self.rng.random_bool(0.3) {
            let held = self.group.get(&key(at)).await.unwrap();
            assert!(held.is_some(), "{} was set here just now", key(at));
        }
    }

    async fn delete(&mut self, at: usize) {
        let wait = self.wait();
        let begun = self.account.begun(self.peer, self.life, What::Delete(at));
        let written = self.group.delete_with(&key(at), wait).await.unwrap();
        self.account.wrote(begun, written, wait);
        if self.rng.random_bool(0.5) {
            self.get(at, written.version).await;
        }
    }

    async fn clear(&mut self, at: usize) {
        let wait = self.wait();
        let begun = self.account.begun(self.peer, self.life, What::Clear);
        let written = self.group.clear_with(wait).await;
        self.account.wrote(begun, written, wait);
        self.get(at, written.version).await;
    }

    /// Tells what is answered here, and what is held.
    async fn look(&self) {
        for at in 0..KEYS {
            let held = matches!(self.group.ttl(&key(at)).unwrap(), Some(Ttl::Value(_)));
            let got = self.timed(&key(at)).await;
            self.account.sees(self.peer, at, got, held);
        }
        self.account.looked(self.peer, &self.group.stats());
    }
}
