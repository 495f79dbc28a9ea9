//! What the framing guard costs a request: `cargo bench -p kamaitachi-serve --bench framing`.

use kamaitachi_serve::{
    framing::{FramingGuard, FramingLimits},
    limits::Limits,
};

fn main() {
    divan::main();
}

/// What the load harness sends: a small JSON body with five fields in front.
const POST: &[u8] = b"POST /data/kamaitachi/api/data/v1/snapshot HTTP/1.1\r\n\
    host: 127.0.0.1:9000\r\ncontent-type: application/json\r\naccept: */*\r\n\
    user-agent: kamaitachi-loadtest/0.1.0\r\ncontent-length: 74\r\n\r\n\
    {\"ids\":\"operating_income\",\"subjects\":\"33:00000009,33:00000010\",\"limit\":20}";

/// What a browser sends: no body, ten fields of some length.
const GET: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost:9000\r\nConnection: keep-alive\r\n\
    Cache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp\r\n\
    Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\r\n";

fn guard() -> FramingGuard {
    FramingGuard::new(FramingLimits::from(&Limits::default()))
}

fn pass(bencher: divan::Bencher<'_, '_>, request: &'static [u8]) {
    let mut guard = guard();
    bencher.bench_local(|| {
        let progress = guard.advance(divan::black_box(request));
        assert_eq!(progress.passed, request.len());
    });
}

#[divan::bench]
fn post_of_the_load_harness(bencher: divan::Bencher<'_, '_>) {
    pass(bencher, POST);
}

#[divan::bench]
fn get_of_a_browser(bencher: divan::Bencher<'_, '_>) {
    pass(bencher, GET);
}

#[divan::bench]
fn sixteen_kibibytes_of_a_chunk(bencher: divan::Bencher<'_, '_>) {
    let body = vec![b'x'; 16 * 1024];
    bencher.bench_local(|| {
        let mut guard = guard();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n";
        assert_eq!(guard.advance(head).passed, head.len());
        guard.advance(divan::black_box(&body))
    });
}
