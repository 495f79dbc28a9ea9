//! The service between peers.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::super::{
    peers::{Newer, Passport, Shared},
    proto::{self, apply_reply::Outcome, sync_server::Sync},
};

/// Writes and versions of one message: more than any peer sends.
const MOST: usize = 16_384;

#[derive(Clone, Debug)]
pub(super) struct SyncService {
    pub(super) shared: Arc<Shared>,
}

impl SyncService {
    /// Gives how many peers the request has passed.
    fn see<T>(&self, request: &Request<T>) -> u32 {
        let passport = Passport::of(request.metadata());
        self.shared.saw_epoch(passport.epoch);
        passport.origin.hops()
    }
}

fn check(many: usize) -> Result<(), Status> {
    if many <= MOST { Ok(()) } else { Err(Status::invalid_argument("too many in one message")) }
}

#[tonic::async_trait]
impl Sync for SyncService {
    async fn apply(
        &self,
        request: Request<proto::ApplyRequest>,
    ) -> Result<Response<proto::ApplyReply>, Status> {
        let hops = self.see(&request);
        let writes = request.into_inner().writes;
        check(writes.len())?;
        let mut reply = proto::ApplyReply::default();
        let mut newer = Newer::default();
        for write in writes {
            let (outcome, known) = match self.shared.group(&write.group) {
                Some(group) => {
                    group.hop(hops);
                    group.apply(write)
                }
                None => (Outcome::Refused, None),
            };
            reply.outcomes.push(outcome.into());
            newer.extend(known);
        }
        reply.newer = newer.into_writes();
        Ok(Response::new(reply))
    }

    async fn reconcile(
        &self,
        request: Request<proto::ReconcileRequest>,
    ) -> Result<Response<proto::ReconcileReply>, Status> {
        let hops = self.see(&request);
        let proto::ReconcileRequest { group, known, cleared } = request.into_inner();
        check(known.len())?;
        // Of a group that is not held here nothing is wanted.
        let reply = self
            .shared
            .group(&group)
            .inspect(|group| group.hop(hops))
            .map(|group| group.reconcile(known, cleared.unwrap_or_default().into()));
        Ok(Response::new(reply.unwrap_or_default()))
    }

    async fn ping(
        &self,
        request: Request<proto::PingRequest>,
    ) -> Result<Response<proto::PingReply>, Status> {
        self.see(&request);
        let groups = self.shared.groups();
        Ok(Response::new(proto::PingReply {
            node: self.shared.me().to_string(),
            epoch: self.shared.epoch(),
            groups: groups.iter().map(|group| group.name().to_string()).collect(),
            lives: groups.iter().map(|group| group.life()).collect(),
        }))
    }
}
