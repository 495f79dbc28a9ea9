//! What one client may take of a server, and the counts of what was taken and refused.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::framing::Violation;

/// The limits of one server. Times are kept to within two [`tick`](Self::tick)s, never cut short; a
/// time in which the process stood still counts as two ticks at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time. More are answered 503 and closed. Default 16,384.
    pub connections: usize,
    /// Connections open at a time from one client: an IPv4 address, an IPv6 /64. Default 4,096.
    pub connections_per_ip: usize,
    /// From a connection's opening, or the first byte of a later request, to the end of the
    /// request's head. Default 10 s.
    pub head_timeout: Duration,
    /// How long a server waits for the bytes of one body in all, before [`body_rate`] adds to
    /// it. Time in which nobody asked for the bytes does not count. Default 30 s.
    ///
    /// [`body_rate`]: Self::body_rate
    pub body_timeout: Duration,
    /// Bytes of a body that earn one more second of waiting: the least rate of a long upload.
    /// Default 16 KiB.
    pub body_rate: u64,
    /// How long a kept-alive connection may lie idle. Default 60 s.
    pub idle_timeout: Duration,
    /// How long a client may refuse to take another byte of an answer. On HTTP/2 the answer's
    /// stream is reset, as long as others go on. Default 30 s.
    pub write_timeout: Duration,
    /// Bytes of a request's head, request line and empty line included; on HTTP/2 as if it had come
    /// by HTTP/1. Default 32 KiB.
    pub head_bytes: usize,
    /// Header fields of a request. Default 100.
    pub headers: usize,
    /// Bytes of a request target. Default 8 KiB.
    pub target_bytes: usize,
    /// Connections that the kernel holds until they are accepted. Default 1,024.
    pub backlog: u32,
    /// How HTTP/2 clients are held.
    pub http2: Http2Limits,
}

/// The limits of one HTTP/2 connection, all set by hand rather than left to the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Requests at a time. Default 100.
    pub concurrent_streams: u32,
    /// Bytes that may be sent on a stream before they are asked for. Default 64 KiB.
    pub stream_window: u32,
    /// Bytes that may be sent on a connection before they are asked for. Default 1 MiB.
    pub connection_window: u32,
    /// Bytes of answers held for a connection. Beyond them each answer may hold one piece.
    /// Default 256 KiB.
    pub send_buffer: usize,
    /// Streams reset by the client that may wait to be noticed. Default 20.
    pub pending_accept_resets: usize,
    /// Streams that the client made us reset. Default 128.
    pub local_error_resets: usize,
    /// A ping is sent this often. Default 20 s.
    pub ping_every: Duration,
    /// How long its answer may take. Default 10 s.
    pub ping_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_ip: 4_096,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_rate: 16 * 1024,
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            head_bytes: 32 * 1024,
            headers: 100,
            target_bytes: 8 * 1024,
            backlog: 1024,
            http2: Http2Limits::default(),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            concurrent_streams: 100,
            stream_window: 64 * 1024,
            connection_window: 1024 * 1024,
            send_buffer: 256 * 1024,
            pending_accept_resets: 20,
            local_error_resets: 128,
            ping_every: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// How often deadlines are looked at: a quarter of the shortest, 5 ms to 250 ms.
    #[must_use]
    pub fn tick(&self) -> Duration {
        let all = [self.head_timeout, self.body_timeout, self.idle_timeout, self.write_timeout];
        let shortest = all.into_iter().min().unwrap_or_default();
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

/// What a client was too slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Sending the head of a request.
    Head,
    /// Sending the body of a request.
    Body,
    /// Making another request.
    Idle,
    /// Taking an answer.
    Write,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 4] = [Self::Head, Self::Body, Self::Idle, Self::Write];

    /// A word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Idle => "idle",
            Self::Write => "write",
        }
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server has as many as it may have.
    Full,
    /// The client has as many as it may have.
    PerIp,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Full, Self::PerIp];

    /// A word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::PerIp => "per_ip",
        }
    }
}

/// Counts of one server since its start, for metrics. Reading never waits.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    accept_errors: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
    timed_out: [AtomicU64; Phase::ALL.len()],
    violations: [AtomicU64; Violation::ALL.len()],
}

impl Counters {
    /// Connections accepted and not refused.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        let closed = self.closed.load(Relaxed);
        self.accepted.load(Relaxed).saturating_sub(closed)
    }

    /// Times that accepting failed, most often for want of file descriptors.
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Relaxed)
    }

    /// Connections refused for `reason`.
    #[must_use]
    pub fn refused(&self, reason: Refused) -> u64 {
        self.refused[reason as usize].load(Relaxed)
    }

    /// Connections closed, or requests of an HTTP/2 connection failed, because the client was too
    /// slow at `phase`.
    #[must_use]
    pub fn timed_out(&self, phase: Phase) -> u64 {
        self.timed_out[phase as usize].load(Relaxed)
    }

    /// Requests refused for `violation`.
    #[must_use]
    pub fn violations(&self, violation: Violation) -> u64 {
        self.violations[violation as usize].load(Relaxed)
    }

    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_refused(&self, reason: Refused) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn count_timed_out(&self, phase: Phase) {
        self.timed_out[phase as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn count_violation(&self, violation: Violation) {
        self.violations[violation as usize].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_apart() {
        // The counters are arrays indexed by these.
        assert!(Phase::ALL.iter().enumerate().all(|(i, phase)| *phase as usize == i));
        assert!(Refused::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
        assert!(Violation::ALL.iter().enumerate().all(|(i, kind)| *kind as usize == i));
    }

    #[test]
    fn the_tick_is_finer_than_every_deadline_but_never_busy() {
        assert_eq!(Limits::default().tick(), Duration::from_millis(250));
        let with = |ms| Limits { idle_timeout: Duration::from_millis(ms), ..Limits::default() };
        assert_eq!(with(100).tick(), Duration::from_millis(25));
        assert_eq!(with(0).tick(), Duration::from_millis(5));
    }
}
