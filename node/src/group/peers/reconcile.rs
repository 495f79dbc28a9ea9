//! Comparing notes with a peer that may have missed something.
//!
//! After a first contact, a failure, a full queue or a change of members, each side tells the
//! other the versions it knows, without values, and sends what the other lacks. What is compared
//! is writes; what loaders gave is not. Cost: one pass over the keys and some 60 bytes a key.

use super::{Shared, link::Link};
use crate::group::proto;

/// Versions told in one message.
const CHUNK: usize = 2048;
/// Writes sent in one message, and their bytes.
const WRITES: usize = 256;
const BYTES: usize = 512 << 10;

/// Brings `link`'s peer up to what is known here; says whether all of it arrived.
pub(super) async fn with(link: &Link, shared: &Shared) -> bool {
    for group in shared.groups() {
        let mut known = group.known_for(&link.addr);
        let cleared = Some(group.cleared().into());
        // Also when there is nothing to tell: the clear may be news, and so may the answer.
        let chunks = known.len().div_ceil(CHUNK).max(1);
        for at in 0..chunks {
            let end = known.len().min((at + 1) * CHUNK);
            let chunk = &mut known[at * CHUNK..end];
            // What is known fits into one message, mostly: then it is told the same way each time.
            chunk.sort_unstable();
            let message = proto::ReconcileRequest {
                group: group.name().to_string(),
                known: chunk
                    .iter()
                    .map(|(key, version, deleted)| proto::Known {
                        key: key.to_string(),
                        version: Some((*version).into()),
                        deleted: *deleted,
                    })
                    .collect(),
                cleared,
            };
            let reply = link
                .sync(shared, message, async |mut client, request| client.reconcile(request).await);
            let Ok(reply) = reply.await else { return false };
            shared.take_in(reply.newer);
            let wanted = reply.wanted.iter().filter_map(|at| chunk.get(usize::try_from(*at).ok()?));
            let wanted: Vec<_> = wanted.map(|(key, _, _)| key).collect();
            for keys in wanted.chunks(WRITES) {
                let mut writes: Vec<proto::Write> = Vec::new();
                let mut bytes = 0;
                for write in keys.iter().filter_map(|key| group.write_of(key)) {
                    bytes += write.value.len();
                    writes.push(write);
                    if bytes >= BYTES {
                        bytes = 0;
                        if !send(link, shared, std::mem::take(&mut writes)).await {
                            return false;
                        }
                    }
                }
                if !send(link, shared, writes).await {
                    return false;
                }
            }
        }
    }
    true
}

async fn send(link: &Link, shared: &Shared, writes: Vec<proto::Write>) -> bool {
    let told: Vec<_> = writes
        .iter()
        .map(|write| (write.group.clone(), write.key.clone(), write.version.unwrap_or_default()))
        .collect();
    let Ok(outcomes) = link.apply(shared, writes).await else { return false };
    for ((group, key, version), outcome) in told.iter().zip(outcomes) {
        if outcome == proto::apply_reply::Outcome::Forgotten
            && let Some(group) = shared.group(group)
        {
            group.forgotten(key, (*version).into());
        }
    }
    true
}
