//! The service for clients, and for peers that ask as clients do.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, future::join_all, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    super::{
        ChangeKind, Changes, Error, Wait, Written,
        peers::{Link, Origin, Passport, Shared},
        proto::{self, Scope, cache_server::Cache},
        served::{Knows, Served},
    },
    answers::{add, peers_of, to_wire},
};

/// Keys of a page, when not said and at the most.
const PAGE: usize = 100;
const MOST: usize = 10_000;
/// Keys of one request.
const MANY: usize = 10_000;
/// For the peers that are asked on a client's behalf about themselves.
const ASIDE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct CacheService {
    pub(super) shared: Arc<Shared>,
    pub(super) stop: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;

impl CacheService {
    /// The group a request is for, and who it comes from.
    fn open<T>(&self, request: &Request<T>, group: &str) -> Result<Opened, Status> {
        let passport = Passport::of(request.metadata());
        if passport.origin.is_peer() {
            self.shared.saw_epoch(passport.epoch);
        }
        let group = self.group(group)?;
        group.hop(passport.origin.hops());
        Ok(Opened { group, origin: passport.origin })
    }

    fn group(&self, name: &str) -> Result<Arc<dyn Served>, Status> {
        if !name.is_empty() {
            return self.shared.group(name).ok_or_else(|| {
                Status::not_found(format!("no group {name:?}; this server holds {}", self.names()))
            });
        }
        let mut groups = self.shared.groups();
        match (groups.pop(), groups.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(Status::invalid_argument(format!("which group? of {}", self.names()))),
        }
    }

    fn names(&self) -> String {
        let groups = self.shared.groups();
        let names: Vec<&str> = groups.iter().map(|group| &**group.name()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// Asks every other peer; gives the answers, and the addresses of those that gave none.
    async fn ask_all<R, Fut>(&self, ask: impl Fn(Arc<Link>) -> Fut) -> (Vec<R>, Vec<String>)
    where
        Fut: Future<Output = Option<R>>,
    {
        let links: Vec<Arc<Link>> = self.shared.view().links().map(Arc::clone).collect();
        let asked = links.iter().map(|link| async { (ask(Arc::clone(link)).await, &link.addr) });
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        for (answer, addr) in join_all(asked).await {
            match answer {
                Some(answer) => answers.push(answer),
                None => silent.push(addr.to_string()),
            }
        }
        (answers, silent)
    }
}

struct Opened {
    group: Arc<dyn Served>,
    origin: Origin,
}

#[tonic::async_trait]
impl Cache for CacheService {
    async fn get(&self, request: Request<proto::GetRequest>) -> Answer<proto::GetReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let proto::GetRequest { key, deleted, cleared, .. } = request.into_inner();
        let knows = Knows { deleted: deleted.map(Into::into), cleared: cleared.map(Into::into) };
        let got = group.get(key, origin, knows).await;
        got.map(Response::new).map_err(|error| status(&error))
    }

    async fn get_many(
        &self,
        request: Request<proto::GetManyRequest>,
    ) -> Answer<proto::GetManyReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let proto::GetManyRequest { keys, cleared, .. } = request.into_inner();
        check_many(keys.len())?;
        let found = group.get_many(keys, origin, cleared.map(Into::into)).await;
        Ok(Response::new(proto::GetManyReply { found }))
    }

    async fn set(&self, request: Request<proto::SetRequest>) -> Answer<proto::WriteReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let request = request.into_inner();
        let wait = wait_of(request.wait());
        let proto::SetRequest { key, value, ttl_ms, .. } = request;
        let written = group.set(proto::Pair { key, value, ttl_ms }, wait, origin).await;
        written.map(|written| reply_to([written])).map_err(|error| status(&error))
    }

    async fn set_many(&self, request: Request<proto::SetManyRequest>) -> Answer<proto::WriteReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let request = request.into_inner();
        check_many(request.pairs.len())?;
        let wait = wait_of(request.wait());
        let sets = request.pairs.into_iter().map(|pair| Arc::clone(&group).set(pair, wait, origin));
        all(join_all(sets).await)
    }

    async fn delete(&self, request: Request<proto::DeleteRequest>) -> Answer<proto::WriteReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let request = request.into_inner();
        let wait = wait_of(request.wait());
        let written = group.delete(request.key, wait, origin).await;
        written.map(|written| reply_to([written])).map_err(|error| status(&error))
    }

    async fn delete_many(
        &self,
        request: Request<proto::DeleteManyRequest>,
    ) -> Answer<proto::WriteReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let request = request.into_inner();
        check_many(request.keys.len())?;
        let wait = wait_of(request.wait());
        let deletes =
            request.keys.into_iter().map(|key| Arc::clone(&group).delete(key, wait, origin));
        all(join_all(deletes).await)
    }

    async fn clear(&self, request: Request<proto::ClearRequest>) -> Answer<proto::WriteReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let wait = wait_of(request.into_inner().wait());
        Ok(reply_to([group.clear(wait, origin).await]))
    }

    async fn ttl(&self, request: Request<proto::TtlRequest>) -> Answer<proto::TtlReply> {
        let Opened { group, .. } = self.open(&request, &request.get_ref().group)?;
        let ttl = group.ttl(&request.into_inner().key);
        ttl.map(Response::new).map_err(|error| status(&error))
    }

    async fn scan(&self, request: Request<proto::ScanRequest>) -> Answer<proto::ScanReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let request = request.into_inner();
        let limit = match usize::try_from(request.limit).unwrap_or(usize::MAX) {
            0 => PAGE,
            limit if limit <= MOST => limit,
            _ => return Err(Status::invalid_argument(format!("limit is 1 to {MOST}"))),
        };
        let mut keys = group.scan(&request.prefix, &request.cursor, limit);
        let mut unreachable = Vec::new();
        if request.scope() == Scope::Group && origin == Origin::Client {
            let ask = proto::ScanRequest {
                group: group.name().to_string(),
                scope: Scope::Local.into(),
                limit: u32::try_from(limit).unwrap_or(u32::MAX),
                ..request
            };
            let (others, silent) = self
                .ask_all(|link| {
                    let ask = ask.clone();
                    async move {
                        let reply = link.call(
                            &self.shared,
                            ask,
                            (origin, ASIDE),
                            async |mut client, ask| client.scan(ask).await,
                        );
                        reply.await.ok()
                    }
                })
                .await;
            keys.extend(others.into_iter().flat_map(|reply| reply.keys));
            keys.sort_by(|a, b| a.key.cmp(&b.key).then(b.ttl_ms.cmp(&a.ttl_ms)));
            keys.dedup_by(|later, first| later.key == first.key);
            keys.truncate(limit);
            unreachable = silent;
        }
        let last = keys.last().filter(|_| keys.len() == limit);
        let cursor = last.map(|info| info.key.clone()).unwrap_or_default();
        Ok(Response::new(proto::ScanReply { keys, cursor, unreachable }))
    }

    async fn stats(&self, request: Request<proto::StatsRequest>) -> Answer<proto::StatsReply> {
        let Opened { group, origin } = self.open(&request, &request.get_ref().group)?;
        let mut sum = group.stats();
        if request.get_ref().scope() == Scope::Group && origin == Origin::Client {
            let name = group.name();
            let (others, silent) = self
                .ask_all(|link| async move {
                    let ask =
                        proto::StatsRequest { group: name.to_string(), scope: Scope::Local.into() };
                    let reply =
                        link.call(&self.shared, ask, (origin, ASIDE), async |mut client, ask| {
                            client.stats(ask).await
                        });
                    reply.await.ok()
                })
                .await;
            others.iter().for_each(|other| add(&mut sum, other));
            sum.unreachable = silent;
        }
        Ok(Response::new(sum))
    }

    async fn peers(&self, request: Request<proto::PeersRequest>) -> Answer<proto::PeersReply> {
        if !request.get_ref().group.is_empty() {
            self.group(&request.get_ref().group)?;
        }
        let view = self.shared.view();
        Ok(Response::new(proto::PeersReply {
            self_: self.shared.me().to_string(),
            service: self.shared.options().service.clone(),
            epoch: view.epoch(),
            peers: peers_of(&view),
        }))
    }

    async fn owner(&self, request: Request<proto::OwnerRequest>) -> Answer<proto::OwnerReply> {
        let Opened { group, .. } = self.open(&request, &request.get_ref().group)?;
        Ok(Response::new(group.owner(&request.get_ref().key)))
    }

    async fn groups(&self, _: Request<proto::GroupsRequest>) -> Answer<proto::GroupsReply> {
        let groups = self.shared.groups().iter().map(|group| group.name().to_string()).collect();
        Ok(Response::new(proto::GroupsReply { groups }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::Change, Status>> + Send>>;

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Answer<Self::WatchStream> {
        let Opened { group, .. } = self.open(&request, &request.get_ref().group)?;
        let proto::WatchRequest { prefix, values, .. } = request.into_inner();
        let reader = Reader {
            changes: group.watch(),
            prefix,
            values,
            ready: false,
            stop: self.stop.clone(),
        };
        Ok(Response::new(Box::pin(stream::unfold(reader, Reader::next))))
    }
}

/// One who watches.
struct Reader {
    changes: Changes,
    prefix: String,
    values: bool,
    ready: bool,
    stop: CancellationToken,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<proto::Change, Status>, Self)> {
        use proto::change::Kind;
        if !self.ready {
            self.ready = true;
            let ready = proto::Change { kind: Kind::Ready.into(), ..Default::default() };
            return Some((Ok(ready), self));
        }
        loop {
            // A watch has no end of its own, and must not keep a server that drains.
            let change = self.stop.run_until_cancelled(self.changes.next()).await??;
            match change {
                Ok(change) => {
                    let all = change.kind == ChangeKind::Cleared;
                    if all || change.key.starts_with(&self.prefix) {
                        return Some((Ok(to_wire(change, self.values)), self));
                    }
                }
                Err(missed) => {
                    let kind = Kind::Missed.into();
                    let told = proto::Change { kind, missed: missed.0, ..Default::default() };
                    return Some((Ok(told), self));
                }
            }
        }
    }
}

fn check_many(keys: usize) -> Result<(), Status> {
    if keys <= MANY {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("{keys} keys in one request, {MANY} at the most")))
}

fn all(written: Vec<Result<Written, Error>>) -> Answer<proto::WriteReply> {
    let written: Result<Vec<Written>, Error> = written.into_iter().collect();
    written.map(reply_to).map_err(|error| status(&error))
}

/// One reply to the writes of one request.
fn reply_to(written: impl IntoIterator<Item = Written>) -> Response<proto::WriteReply> {
    let mut reply = proto::WriteReply { satisfied: true, ..Default::default() };
    let mut fewest = None::<u32>;
    for one in written {
        reply.existed += u64::from(one.existed);
        reply.asked = reply.asked.max(one.asked);
        reply.satisfied &= one.satisfied;
        fewest = Some(fewest.map_or(one.acknowledged, |least| least.min(one.acknowledged)));
        reply.version = Some(one.version.into());
    }
    reply.acknowledged = fewest.unwrap_or(0);
    Response::new(reply)
}

fn wait_of(wait: proto::Wait) -> Wait {
    match wait {
        proto::Wait::None => Wait::None,
        proto::Wait::Owner => Wait::Owner,
        proto::Wait::Quorum => Wait::Quorum,
        proto::Wait::All => Wait::All,
    }
}

/// What a caller over the wire is told of an error.
fn status(error: &Error) -> Status {
    let text = error.to_string();
    match error {
        Error::BadKey { .. } | Error::TooLarge { .. } | Error::Codec(_) => {
            Status::invalid_argument(text)
        }
        Error::TakesNone(_) => Status::failed_precondition(text),
        Error::Load(_) | Error::Lost(_) | Error::Refused { .. } => Status::aborted(text),
    }
}
