//! A cached answer from request to response, without the wire: what parsing, planning, rendering
//! and the envelope cost, in time and in allocations.
//!
//! `cargo bench -p kamaitachi-node --bench service`

#![expect(clippy::unwrap_used, reason = "a bench that cannot set up its world has nothing to tell")]

use std::cell::OnceCell;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http::Request;
use http_body_util::Full;
use kamaitachi_node::{
    Node,
    api::Service,
    config::{Config, Role},
    sample::{SampleOptions, generate},
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SNAPSHOT: &str = "/kamaitachi/api/data/v1/snapshot";
const PERIOD: &str = "/kamaitachi/api/data/v1/period";
const SUBJECTS: &str = "33:00000009,33:00000010";
const IDS: &str = "operating_income,net_profit,total_profit";

struct World {
    runtime: Runtime,
    service: Service,
    _node: Node,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("node.db");
        generate(
            &SampleOptions { stocks: 10_000, from_year: 2024, ..SampleOptions::new(&db) },
            |_, _| {},
        )
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let node = runtime.block_on(Node::start(Config::embedded(Role::Master, db))).unwrap();
        let service = Service::new(node.shared_app());
        Self { runtime, service, _node: node, _dir: dir }
    }

    fn ask(&self, request: Request<Full<Bytes>>) -> http::Response<Full<Bytes>> {
        self.runtime.block_on(self.service.answer(request))
    }
}

thread_local! { static WORLD: OnceCell<World> = const { OnceCell::new() }; }

fn bench(bencher: Bencher<'_, '_>, path: &'static str, body: &str) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request = || {
        let request = Request::post(path).header("content-type", "application/json");
        request.body(Full::new(body.clone())).unwrap()
    };
    WORLD.with(|world| {
        let world = world.get_or_init(World::new);
        world.ask(request());
        let answer = world.ask(request());
        assert_eq!(answer.headers()["x-kamaitachi-cache"], "hit");
        bencher.with_inputs(request).bench_local_values(|request| world.ask(request));
    });
}

#[divan::bench]
fn snapshot_of_two_subjects(bencher: Bencher<'_, '_>) {
    bench(bencher, SNAPSHOT, &format!(r#"{{"ids":"{IDS}","subjects":"{SUBJECTS}","limit":20}}"#));
}

#[divan::bench]
fn period_of_two_subjects(bencher: Bencher<'_, '_>) {
    let range = r#""from":1704067200,"to":1735603200"#;
    bench(bencher, PERIOD, &format!(r#"{{"ids":"{IDS}","subjects":"{SUBJECTS}",{range}}}"#));
}

#[divan::bench]
fn snapshot_of_a_topic_of_ten_thousand(bencher: Bencher<'_, '_>) {
    bench(bencher, SNAPSHOT, &format!(r#"{{"ids":"{IDS}","topic":"stock_a_listing_pool"}}"#));
}

#[divan::bench]
fn refusal(bencher: Bencher<'_, '_>) {
    let body = Bytes::from_static(br#"{"subjects":"x","order":"up"}"#);
    WORLD.with(|world| {
        let world = world.get_or_init(World::new);
        let request = || Request::post(SNAPSHOT).body(Full::new(body.clone())).unwrap();
        bencher.with_inputs(request).bench_local_values(|request| world.ask(request));
    });
}

fn main() {
    divan::main();
}
