//! The decisions behind the gateway and the nodes, as pure values: no I/O, no HTTP, no clock.
//!
//! Whatever depends on time takes `now` as an argument, so every decision can be tested exactly
//! and reused wherever the same question is asked.
//!
//! | module | question | answer | sharing |
//! |---|---|---|---|
//! | [`ring`] | which node owns this key, and who is next? | [`Ring::owner`], [`Ring::successors`], [`Ring::owner_bounded`] | immutable: share it, swap it whole |
//! | [`quota`] | may one more request pass? | [`quota::Verdict`] of [`Bucket::take`], [`KeyedBuckets::take`] | `&self`, lock-free (keyed: sharded) |
//! | [`breaker`] | is this upstream worth a try? | [`breaker::Verdict`] of [`Breaker::try_acquire`] | `&mut self`: behind a short lock |
//! | [`budget`] | can the traffic afford a retry? | [`RetryBudget::withdraw`] | `&mut self`: one a worker, or behind a short lock |
//! | [`lateness`] | has this answer been waited for long enough? | [`Lateness::after`] | `&mut self`: one a worker |
//! | [`ramp`] | which of its keys is a node given that has just joined? | [`ramp::Share::takes`] | a value |
//! | [`outlier`] | should this node be left alone for a while? | [`Outlier::failed`], [`Outlier::lost`] | `&mut self`: behind a short lock |
//! | [`coverage`] | what of this range is not known yet? | [`Coverage::missing`], [`coverage::join_gaps`] | a value |
//!
//! # What holds for all of them
//!
//! - **Time** is a [`std::time::Instant`] that the caller read. A `now` before that of an earlier
//!   call counts as the earlier one: clocks that step back and threads that race neither panic
//!   nor gain anything.
//! - **Errors are for construction only.** Numbers are checked once, by constructors that name
//!   the number, its value and the range; after that a refusal is a verdict, and verdicts are
//!   `#[must_use]`.
//! - **Memory is bounded** whatever comes in, by numbers given at construction; the docs of each
//!   module state its cost and name the source of its algorithm.
//!
//! # A request's way through them
//!
//! ```
//! use std::time::Instant;
//! use kamaitachi_policies::breaker::{self, Breaker, BreakerConfig, Outcome};
//! use kamaitachi_policies::quota::{self, Bucket, Quota};
//! use kamaitachi_policies::ring::{DEFAULT_REPLICAS, Ring, Spread};
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example")]
//! let now = Instant::now();
//! let limit = Bucket::new(Quota::new(300, 500)?);
//! let ring = Ring::new(["a:8081", "b:8081"], DEFAULT_REPLICAS, Spread::Plain);
//! let mut breakers = vec![Breaker::new(BreakerConfig::default()); ring.len()];
//!
//! assert_eq!(limit.take(now), quota::Verdict::Admit);
//! for node in ring.successors(b"33:000001") {
//!     let breaker = &mut breakers[node.get()];
//!     if let breaker::Verdict::Admit(permit) = breaker.try_acquire(now) {
//!         // … ask the node …
//!         breaker.record(permit, Outcome::Success, now);
//!         break;
//!     }
//! }
//! # Ok::<(), quota::InvalidQuota>(())
//! ```
//!
//! [`Ring::owner`]: ring::Ring::owner
//! [`Ring::successors`]: ring::Ring::successors
//! [`Ring::owner_bounded`]: ring::Ring::owner_bounded
//! [`Bucket::take`]: quota::Bucket::take
//! [`KeyedBuckets::take`]: quota::KeyedBuckets::take
//! [`Breaker::try_acquire`]: breaker::Breaker::try_acquire
//! [`RetryBudget::withdraw`]: budget::RetryBudget::withdraw
//! [`Lateness::after`]: lateness::Lateness::after
//! [`Outlier::failed`]: outlier::Outlier::failed
//! [`Outlier::lost`]: outlier::Outlier::lost
//! [`Coverage::missing`]: coverage::Coverage::missing

pub mod breaker;
pub mod budget;
pub mod coverage;
pub mod lateness;
pub mod outlier;
pub mod quota;
pub mod ramp;
pub mod ring;
