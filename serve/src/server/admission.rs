//! Who gets a connection: the counts of open ones, in all and by client.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use crate::limits::{Counters, Limits, Refused};

/// The open connections of a server, shared by its workers. Holds an entry only for clients with
/// an open connection, so it is never larger than the limit on connections.
#[derive(Debug)]
pub(super) struct Admission {
    open: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
    most_per_client: usize,
    counters: Arc<Counters>,
}

impl Admission {
    pub(super) fn new(limits: &Limits, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            by_client: Mutex::default(),
            most: limits.connections,
            most_per_client: limits.connections_per_ip,
            counters,
        })
    }

    /// A place for one connection from `ip`, given back when it drops.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Refused> {
        let client = client_of(ip);
        let refused = |reason| {
            self.counters.count_refused(reason);
            Err(reason)
        };
        if self.open.fetch_add(1, Relaxed) >= self.most {
            self.open.fetch_sub(1, Relaxed);
            return refused(Refused::Full);
        }
        let mut by_client = self.by_client.lock();
        let held = by_client.entry(client).or_insert(0);
        if *held >= self.most_per_client {
            if *held == 0 {
                by_client.remove(&client);
            }
            drop(by_client);
            self.open.fetch_sub(1, Relaxed);
            return refused(Refused::PerIp);
        }
        *held += 1;
        drop(by_client);
        self.counters.count_accepted();
        Ok(Place { admission: Arc::clone(self), client })
    }
}

/// The right to one open connection.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_client = self.admission.by_client.lock();
        if let Some(held) = by_client.get_mut(&self.client) {
            *held -= 1;
            if *held == 0 {
                by_client.remove(&self.client);
            }
        }
        drop(by_client);
        self.admission.open.fetch_sub(1, Relaxed);
        self.admission.counters.count_closed();
    }
}

/// Whom an address stands for: one IPv6 client has a whole /64 to call from.
fn client_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(most: usize, most_per_client: usize) -> (Arc<Admission>, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let limits =
            Limits { connections: most, connections_per_ip: most_per_client, ..Limits::default() };
        (Admission::new(&limits, Arc::clone(&counters)), counters)
    }

    #[test]
    fn each_limit_holds_and_places_come_back() {
        let (admission, counters) = admission(3, 2);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert_eq!(admission.admit(a).unwrap_err(), Refused::PerIp);
        let _third = admission.admit(b).unwrap();
        assert_eq!(admission.admit(b).unwrap_err(), Refused::Full);
        drop(first);
        let _fourth = admission.admit(a).unwrap();
        assert_eq!((counters.accepted(), counters.open()), (4, 3));
        assert_eq!((counters.refused(Refused::Full), counters.refused(Refused::PerIp)), (1, 1));
    }

    #[test]
    fn nothing_is_kept_of_clients_that_left_or_were_refused() {
        let (admission, _) = admission(10, 1);
        drop(admission.admit("10.0.0.1".parse().unwrap()).unwrap());
        assert!(admission.by_client.lock().is_empty());
        let (none, _) = self::admission(10, 0);
        none.admit("10.0.0.1".parse().unwrap()).unwrap_err();
        assert!(none.by_client.lock().is_empty());
        assert_eq!(none.open.load(Relaxed), 0);
    }

    #[test]
    fn a_v6_network_is_one_client_and_mapped_v4_is_v4() {
        let ip = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:2"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
    }
}
