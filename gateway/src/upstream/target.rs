//! A worker's connections to one node.
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    conn::Conn,
    counters::{Closed, Counters},
    deadline::{Clock, Ticks},
    error::UpstreamError,
    fields::Memo,
    node::Node,
    response::Parser,
    settings::Settings,
};

/// What all of a worker's targets have in common.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) connect: Ticks,
    pub(super) head: Ticks,
    pub(super) body: Ticks,
    idle: Ticks,
    pub(super) clock: Rc<Clock>,
    pub(super) parser: Parser,
    /// Where heads of requests are written before they are sent.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            connect: Ticks::of(settings.connect_timeout),
            head: Ticks::of(settings.head_timeout),
            body: Ticks::of(settings.body_timeout),
            idle: Ticks::of(settings.idle_timeout),
            clock: Clock::new(Instant::now()),
            parser: Parser::new(settings.max_head),
            scratch: RefCell::default(),
            settings,
        }
    }
}

/// A node as one worker sees it: the pool of connections that were kept, and how many there are.
pub(super) struct Target {
    pub(super) node: Arc<Node>,
    pub(super) shared: Rc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) memo: RefCell<Memo>,
    idle: RefCell<Vec<Idle>>,
    /// Connections in use or being opened.
    leased: Cell<usize>,
}

struct Idle {
    conn: Box<Conn>,
    since: u64,
}

impl Target {
    pub(super) fn new(node: Arc<Node>, shared: Rc<Shared>) -> Rc<Self> {
        let counters = node.register();
        let (memo, idle, leased) = (RefCell::default(), RefCell::default(), Cell::new(0));
        Rc::new(Self { node, shared, counters, memo, idle, leased })
    }

    /// The place for one request: with the connection that was used last, or else without one.
    pub(super) fn lease(self: &Rc<Self>) -> Result<Lease, UpstreamError> {
        let conn = self.take_idle();
        let max = self.shared.settings.max_open;
        if conn.is_none() && self.leased.get() + self.idle.borrow().len() >= max {
            return Err(UpstreamError::Saturated(max));
        }
        self.leased.set(self.leased.get() + 1);
        self.counters.begun();
        let is_reused = conn.is_some();
        if is_reused {
            self.counters.reused();
        }
        Ok(Lease { target: Rc::clone(self), conn, is_reused })
    }

    fn take_idle(&self) -> Option<Box<Conn>> {
        loop {
            let Idle { conn, .. } = self.idle.borrow_mut().pop()?;
            if conn.is_quiet() {
                return Some(conn);
            }
            self.counters.closed(Closed::ByUpstream);
        }
    }

    /// Closes what was unused for too long or has been closed from the other side.
    pub(super) fn sweep(&self) {
        let Shared { clock, idle: limit, .. } = &*self.shared;
        self.idle.borrow_mut().retain(|idle| {
            let why = if clock.is_past(idle.since, *limit) {
                Closed::IdleTimeout
            } else if !idle.conn.is_quiet() {
                Closed::ByUpstream
            } else {
                return true;
            };
            self.counters.closed(why);
            false
        });
    }

    fn keep(&self, mut conn: Box<Conn>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= self.shared.settings.max_idle {
            self.counters.closed(Closed::IdleLimit);
            return;
        }
        conn.deadline.unset();
        conn.rest();
        idle.push(Idle { conn, since: self.shared.clock.now() });
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("node", self.node.name())
            .field("idle", &self.idle.borrow().len())
            .field("leased", &self.leased.get())
            .finish_non_exhaustive()
    }
}

/// The place of one request among a target's connections. Dropping it closes the connection.
pub(super) struct Lease {
    pub(super) target: Rc<Target>,
    conn: Option<Box<Conn>>,
    /// Whether the connection had served another request before.
    pub(super) is_reused: bool,
}

impl Lease {
    /// Whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        self.conn.is_some()
    }

    pub(super) fn conn(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("asked for only after it was connected")
    }

    /// Takes a fresh connection.
    pub(super) fn connected(&mut self, conn: Conn) {
        self.target.counters.opened();
        self.conn = Some(Box::new(conn));
        self.is_reused = false;
    }

    /// Closes a connection that turned out dead, to get another.
    pub(super) fn replace(&mut self) {
        self.conn = None;
        self.target.counters.closed(Closed::ByUpstream);
        self.target.counters.replaced();
    }

    /// The answer is complete. Keeps the connection if it can be used again.
    pub(super) fn finish(mut self, is_reusable: bool) {
        if let Some(conn) = self.conn.take() {
            let why = if !is_reusable {
                Closed::LastAnswer
            } else if !conn.input.is_empty() {
                Closed::Surplus
            } else {
                return self.target.keep(conn);
            };
            self.target.counters.closed(why);
        }
    }

    /// Closes the connection, which is of no more use.
    pub(super) fn fail(mut self) {
        if self.conn.take().is_some() {
            self.target.counters.closed(Closed::Error);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.conn.take().is_some() {
            self.target.counters.closed(Closed::Abandoned);
        }
        self.target.leased.set(self.target.leased.get() - 1);
        self.target.counters.ended();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("target", &self.target).field("conn", &self.conn).finish()
    }
}
