//! A whole prefix, in pages.

use etcd_client::{Client, GetOptions};

use crate::{
    etcd::{EtcdError, call},
    view::Mark,
};

/// Keys of a page: a page of addresses is a few tens of kilobytes.
const PAGE: i64 = 512;
/// Bytes of the longest page that is taken. A single value has 1.5 MiB at most where etcd has its default limits, so a
/// page of one key always fits.
const LONGEST: usize = 16 << 20;
/// No address is longer, so more of a value is not kept.
const KEPT: usize = 300;

/// Keys without their prefix, and values.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything under `prefix` at one revision, in the order of keys.
///
/// Somebody may have put long values there: where a page gets too long to be taken, it is asked for again with half the
/// keys.
pub(super) async fn list(client: &Client, prefix: &str) -> Result<(Mark, Pairs), EtcdError> {
    let mut kv = client.kv_client().max_decoding_message_size(LONGEST);
    let end = end_of(prefix.as_bytes());
    let (mut from, mut page) = (prefix.as_bytes().to_vec(), PAGE);
    let (mut mark, mut pairs) = (None, Pairs::new());
    loop {
        let mut options = GetOptions::new().with_range(end.clone()).with_limit(page);
        if let Some(Mark { revision, .. }) = mark {
            options = options.with_revision(revision);
        }
        let answer = match call("list", kv.get(from.clone(), Some(options))).await {
            Err(error) if page > 1 && is_too_long(&error) => {
                page /= 2;
                continue;
            }
            answer => answer?,
        };
        let header = answer.header().ok_or(EtcdError::Ended("list"))?;
        let mark = *mark.get_or_insert(Mark {
            cluster: header.cluster_id(),
            term: header.raft_term(),
            revision: header.revision(),
        });
        for kv in answer.kvs() {
            let Some(key) = kv.key().strip_prefix(prefix.as_bytes()) else { continue };
            let value = kv.value();
            pairs.push((key.to_vec(), value[..value.len().min(KEPT)].to_vec()));
        }
        match answer.kvs().last() {
            Some(last) if answer.more() => from = [last.key(), &[0]].concat(),
            _ => return Ok((mark, pairs)),
        }
    }
}

fn is_too_long(error: &EtcdError) -> bool {
    let EtcdError::Refused { source: etcd_client::Error::GRpcStatus(status), .. } = error else {
        return false;
    };
    // 11 is OUT_OF_RANGE, with which a decoder refuses a long message.
    i32::from(status.code()) == 11
}

/// The first key after all that begin with `prefix`, which ends with a slash.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
