//! Whoever talks to a peer over the wire.

use tonic::Request;

use super::rig::{all, bytes, cluster};
use crate::group::proto::{self, sync_client::SyncClient, write::Kind};

#[tokio::test]
async fn clients_scan_watch_and_ask_over_the_wire() {
    let peers = cluster(2, |builder| builder).await;
    let mut client = peers[0].client().await;
    let watch = proto::WatchRequest { group: String::new(), prefix: "a".into(), values: true };
    let mut changes = client.watch(watch).await.unwrap().into_inner();
    let ready = changes.message().await.unwrap().unwrap();
    assert_eq!(ready.kind(), proto::change::Kind::Ready);
    for n in 0..25 {
        let key = format!("a{n:02}");
        let (value, wait) = (bytes("v"), proto::Wait::All.into());
        let set = proto::SetRequest { key, value, wait, ..Default::default() };
        assert!(client.set(set).await.unwrap().into_inner().satisfied);
    }
    let change = changes.message().await.unwrap().unwrap();
    assert_eq!((change.key.as_str(), change.value), ("a00", Some(bytes("v"))));
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let scope = proto::Scope::Group.into();
        let prefix = "a".to_owned();
        let scan = proto::ScanRequest { prefix, cursor, limit: 10, scope, ..Default::default() };
        let page = client.scan(scan).await.unwrap().into_inner();
        keys.extend(page.keys.into_iter().map(|info| info.key));
        cursor = page.cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(keys, (0..25).map(|n| format!("a{n:02}")).collect::<Vec<_>>());
    let got = proto::GetRequest { key: "a03".into(), ..Default::default() };
    let got = client.get(got).await.unwrap().into_inner();
    assert_eq!((got.value.as_deref(), got.source()), (Some(&b"v"[..]), proto::Source::Local));
    let scope = proto::Scope::Group.into();
    let stats = proto::StatsRequest { scope, ..Default::default() };
    let stats = client.stats(stats).await.unwrap().into_inner();
    assert_eq!((stats.nodes_summed, stats.entries, stats.sets), (2, 50, 25));
    let seen = client.peers(proto::PeersRequest::default()).await.unwrap().into_inner();
    assert_eq!((seen.self_.as_str(), seen.peers.len()), (peers[0].addr.as_str(), 2));
    let wrong = proto::GetRequest { group: "nope".into(), key: "k".into(), ..Default::default() };
    let refused = client.get(wrong).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert!(refused.message().contains("test"), "{refused}");
    let empty = client.get(proto::GetRequest::default()).await.unwrap_err();
    assert_eq!(empty.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn numbers_of_requests_may_be_any() {
    let peers = cluster(2, |builder| builder).await;
    let mut client = peers[0].client().await;
    let mut sync = SyncClient::connect(format!("http://{}", peers[0].addr)).await.unwrap();
    for number in [0, 1, 1 << 63, u64::MAX - 1, u64::MAX] {
        let version = Some(proto::Version { time: number, node: number });
        let (key, ttl_ms) = (format!("k{number}"), Some(number));
        let set =
            proto::SetRequest { key: key.clone(), value: bytes("v"), ttl_ms, ..Default::default() };
        client.set(set).await.unwrap();
        let mut get = Request::new(proto::GetRequest {
            key: key.clone(),
            deleted: version,
            cleared: version,
            ..Default::default()
        });
        let metadata = get.metadata_mut();
        metadata.insert("kamaitachi-hops", u32::MAX.to_string().parse().unwrap());
        metadata.insert("kamaitachi-epoch", number.to_string().parse().unwrap());
        client.get(get).await.unwrap();
        let scan = proto::ScanRequest {
            limit: u32::try_from(number).unwrap_or(u32::MAX),
            ..Default::default()
        };
        let refused = client.scan(scan).await.err().map(|status| status.code());
        assert!(refused.is_none_or(|code| code == tonic::Code::InvalidArgument));
        let mark = Some(proto::Mark { lineage: "x".into(), revision: number });
        let writes = [Kind::Set, Kind::Delete, Kind::Clear].map(|kind| proto::Write {
            group: "test".into(),
            kind: kind.into(),
            key: key.clone(),
            value: bytes("v"),
            ttl_ms: number,
            version,
            mark: mark.clone(),
        });
        let writes = writes.to_vec();
        sync.apply(proto::ApplyRequest { writes }).await.unwrap();
        let known = vec![proto::Known { key, version, deleted: true }];
        let (group, cleared) = ("test".to_owned(), version);
        sync.reconcile(proto::ReconcileRequest { group, known, cleared }).await.unwrap();
    }
    peers[0].group.set_with("after", bytes("v"), all()).await.unwrap();
    assert_eq!(peers[1].group.get("after").await.unwrap(), Some(bytes("v")));
}
