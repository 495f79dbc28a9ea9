//! The routes that are compiled in, and what a new route starts from.

use kamaitachi_layers::key::KeySource;
use kamaitachi_serve::config::{List, Seconds, Size};

use super::route::{RawRoute, Target};

/// Enough for ten thousand subjects with their indicators; read into memory to find the key.
pub(super) const MAX_BODY: Size = Size(1 << 20);
/// A bulk load of rows: passed on as it comes, never held.
const MAX_INGEST: Size = Size(256 << 20);
/// A bulk load is one transaction of millions of rows: it takes minutes, not seconds.
const INGEST_TIMEOUT: Seconds = Seconds::of(600);
/// Requests a second of a route that says nothing.
pub(super) const RATE: u32 = 1_000;
/// Requests at once of such a route.
pub(super) const BURST: u32 = 1_500;

/// The places of the ring's key in the data API, in their order.
const KEYS: &[&str] = &[
    "body:subjects",
    "body:topic",
    "body:selection.subject",
    "path:/data/v1/get/{id}",
    "body:subjectIds",
    "client-ip",
];

/// Where a route that says nothing looks for keys.
pub(super) fn keys(target: Target) -> Vec<KeySource> {
    match target {
        Target::Ring => KEYS.iter().filter_map(|text| text.parse().ok()).collect(),
        Target::Master => Vec::new(),
    }
}

/// The routes of the data API by name.
///
/// Whatever is not known to write goes to the ring and may be tried again: queries are `POST`s too, and a node of
/// the ring refuses writes.
pub(super) fn routes() -> impl Iterator<Item = (String, RawRoute)> {
    const API: &str = "/data/kamaitachi/api/data/v1";
    let ingest = RawRoute {
        max_body: Some(MAX_INGEST),
        timeout: Some(INGEST_TIMEOUT),
        ..master(&[&format!("{API}/ingest")], true)
    };
    [
        ("save", master(&["/data/v1/save"], false)),
        ("delete", master(&["/data/v1/delete/*"], false)),
        // The same two as everything else of a node is reached: beneath the prefix.
        ("prefixed", master(&["/data/data/v1/save", "/data/data/v1/delete/*"], true)),
        ("ingest", ingest),
        ("indicators", master(&[&format!("{API}/indicators")], true)),
        ("snapshot", ring(&[&format!("{API}/snapshot")], true, 10_000, 15_000)),
        ("period", ring(&[&format!("{API}/period")], true, 300, 500)),
        ("recent", ring(&[&format!("{API}/recent")], true, 500, 800)),
        ("selection", ring(&["/data/kamaitachi/api/selection/*"], true, 300, 500)),
        ("tables", ring(&["/data/v1/*"], false, RATE, BURST)),
        ("other", ring(&["/data/*"], true, RATE, BURST)),
    ]
    .into_iter()
    .map(|(name, route)| (name.to_owned(), route))
}

fn ring(paths: &[&str], strip: bool, rate: u32, burst: u32) -> RawRoute {
    RawRoute {
        paths: Some(List(paths.iter().map(|&path| path.to_owned()).collect())),
        target: Some(Target::Ring),
        strip_prefix: strip.then(|| "/data".to_owned()),
        rate: Some(rate),
        burst: Some(burst),
        retry: Some(true),
        ..RawRoute::default()
    }
}

fn master(paths: &[&str], strip: bool) -> RawRoute {
    RawRoute { target: Some(Target::Master), retry: Some(false), ..ring(paths, strip, RATE, BURST) }
}
