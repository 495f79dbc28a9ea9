//! Calls to a server of the group, and an account of what they wrote.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use kamaitachi_node::group::{
    Wait, Written,
    proto::{self, cache_client::CacheClient},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::account::{Account, KEYS, What};

type Client = CacheClient<Channel>;

/// Connects with the first call.
pub(super) fn of(addr: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).unwrap();
    let endpoint = endpoint.connect_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(5));
    CacheClient::new(endpoint.connect_lazy())
}

pub(super) fn key(at: usize) -> String {
    format!("key{at}")
}

fn written(reply: &proto::WriteReply) -> Written {
    let proto::Version { time, node } = reply.version.unwrap();
    Written {
        existed: reply.existed != 0,
        version: kamaitachi_node::group::Version { time, node },
        asked: reply.asked,
        acknowledged: reply.acknowledged,
        satisfied: reply.satisfied,
    }
}

/// Someone who writes at one peer, whatever becomes of it.
pub(super) struct Writer {
    pub(super) peer: usize,
    pub(super) client: Client,
    pub(super) account: Account,
}

impl Writer {
    /// One write of a kind that `turn` chooses; a peer that is gone gives no answer.
    pub(super) async fn write(&mut self, turn: usize) {
        let (at, life) = (turn % KEYS, self.account.life(self.peer));
        let (wait, told) = match turn % 7 {
            0 => (Wait::All, proto::Wait::All.into()),
            _ => (Wait::None, proto::Wait::None.into()),
        };
        let key = key(at);
        let (begun, reply) = match turn % 23 {
            0 => {
                let begun = self.account.begun(self.peer, life, What::Clear);
                let clear = proto::ClearRequest { wait: told, ..Default::default() };
                (begun, self.client.clear(clear).await)
            }
            1..10 => {
                let begun = self.account.begun(self.peer, life, What::Delete(at));
                let delete = proto::DeleteRequest { key, wait: told, ..Default::default() };
                (begun, self.client.delete(delete).await)
            }
            _ => {
                let (value, begun) = self.account.sets(self.peer, life, at);
                let set = proto::SetRequest { key, value, wait: told, ..Default::default() };
                (begun, self.client.set(set).await)
            }
        };
        // Whoever is killed or stopped does not answer; whether it wrote is not known then.
        if let Ok(reply) = reply {
            self.account.wrote(begun, written(reply.get_ref()), wait);
        }
    }

    /// Tells the account what the peer answers and holds.
    pub(super) async fn look(&mut self) -> Result<(), Status> {
        for at in 0..KEYS {
            let ttl = proto::TtlRequest { key: key(at), ..Default::default() };
            let ttl = self.client.ttl(ttl).await?.into_inner();
            let value = get(&mut self.client, &key(at)).await?;
            self.account.sees(self.peer, at, value, ttl.found && !ttl.negative);
        }
        let stats = self.client.stats(proto::StatsRequest::default()).await?;
        self.account.looked(self.peer, stats.get_ref());
        Ok(())
    }
}

pub(super) async fn get(client: &mut Client, key: &str) -> Result<Option<Bytes>, Status> {
    let get = proto::GetRequest { key: key.to_owned(), ..Default::default() };
    Ok(client.get(get).await?.into_inner().value)
}
