//! `[limits]`: what one client may take of the gateway.

use std::ops::RangeInclusive;

use kamaitachi_serve::{
    config::{Millis, Mistakes, Size, Span},
    limits::Limits,
};
use serde::{Deserialize, Serialize};

/// `[limits]` as written; the defaults are those of the server that all processes share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct RawLimits {
    /// Connections open at a time.
    pub connections: usize,
    /// Connections open at a time from one client.
    pub connections_per_ip: usize,
    /// Longest wait for the head of a request.
    pub head_timeout: Millis,
    /// Longest wait for the bytes of a body, before its length earns more.
    pub body_timeout: Millis,
    /// Bytes of a body that earn one more second.
    pub body_rate: Size,
    /// How long a connection may lie idle.
    pub idle_timeout: Millis,
    /// How long a client may refuse to take another byte of an answer.
    pub write_timeout: Millis,
    /// Bytes of a request's head.
    pub head_bytes: Size,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request target.
    pub target_bytes: Size,
    /// Requests at a time on one HTTP/2 connection.
    pub http2_streams: u32,
}

impl Default for RawLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            connections: limits.connections,
            connections_per_ip: limits.connections_per_ip,
            head_timeout: Span(limits.head_timeout),
            body_timeout: Span(limits.body_timeout),
            body_rate: Size(limits.body_rate),
            idle_timeout: Span(limits.idle_timeout),
            write_timeout: Span(limits.write_timeout),
            head_bytes: Size(limits.head_bytes as u64),
            headers: limits.headers,
            target_bytes: Size(limits.target_bytes as u64),
            http2_streams: limits.http2.concurrent_streams,
        }
    }
}

const TIMES: RangeInclusive<Millis> = Millis::of(1)..=Millis::of(3_600_000);

pub(super) fn check(raw: &RawLimits, mistakes: &mut Mistakes) -> Limits {
    let mut section = mistakes.section("limits");
    let head = Size(1_024)..=Size(1 << 20);
    let mut limits = Limits {
        connections: section.within("connections", raw.connections, 1..=1_000_000),
        connections_per_ip: section.within(
            "connections_per_ip",
            raw.connections_per_ip,
            1..=1_000_000,
        ),
        head_timeout: section.within("head_timeout", raw.head_timeout, TIMES).0,
        body_timeout: section.within("body_timeout", raw.body_timeout, TIMES).0,
        body_rate: section.within("body_rate", raw.body_rate, Size(1)..=Size(1 << 30)).0,
        idle_timeout: section.within("idle_timeout", raw.idle_timeout, TIMES).0,
        write_timeout: section.within("write_timeout", raw.write_timeout, TIMES).0,
        head_bytes: section.within("head_bytes", raw.head_bytes, head.clone()).as_usize(),
        headers: section.within("headers", raw.headers, 1..=1_000),
        target_bytes: section.within("target_bytes", raw.target_bytes, head).as_usize(),
        ..Limits::default()
    };
    limits.http2.concurrent_streams =
        section.within("http2_streams", raw.http2_streams, 1..=10_000);
    limits
}
