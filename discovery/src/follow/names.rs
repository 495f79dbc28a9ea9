//! What the names among registrations resolve to.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use tokio::time::timeout;

use crate::{
    allow::host_addresses,
    view::{Entry, read},
};

/// The most names that are known at a time: others count as not resolved.
const MOST: usize = 1_000;
/// Longest wait for all names of one answer together; those that are left have their turn with the next list.
const WITHIN: Duration = Duration::from_secs(3);

/// What names resolve to. One that does not resolve any more keeps what it had: a resolver that fails is no reason to
/// lose members.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<String, Vec<IpAddr>>,
}

impl Names {
    /// The addresses of a host; none where it is a name that did not resolve.
    pub(super) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        host_addresses(host).or_else(|| self.known.get(host).cloned()).unwrap_or_default()
    }

    /// Resolves the names among `entries`. With `whole` they are all there are: they are resolved anew, and others are
    /// forgotten.
    pub(super) async fn resolve<'a>(
        &mut self,
        entries: impl Iterator<Item = Entry<'a>>,
        whole: bool,
    ) {
        let mut hosts: Vec<_> = entries
            .filter_map(|entry| read(&entry).ok())
            .map(|addr| addr.host().to_owned())
            .filter(|host| host_addresses(host).is_none())
            .filter(|host| whole || !self.known.contains_key(host))
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.truncate(MOST);
        if whole {
            self.known.retain(|host, _| hosts.binary_search(host).is_ok());
        }
        let resolved = async {
            for host in hosts {
                let Ok(found) = tokio::net::lookup_host((host.as_str(), 0)).await else { continue };
                let addresses = found.map(|addr| addr.ip()).collect();
                if self.known.len() < MOST {
                    self.known.insert(host, addresses);
                }
            }
        };
        if timeout(WITHIN, resolved).await.is_err() {
            tracing::warn!(after = ?WITHIN, "the names of some registrations were not resolved in time");
        }
    }
}
