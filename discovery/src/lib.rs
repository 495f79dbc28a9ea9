//! Who is there: membership as a stream, from a list, a file, DNS or etcd, and the registration of a service.
//!
//! Whoever uses nodes follows a [`Membership`] and does not know where it comes from: [`fixed`] is a list that never
//! changes, [`poll`] looks at a file that somebody edits or at what a name resolves to, and [`follow`] at the services that have
//! registered themselves in etcd.
//!
//! What is decided is apart from what is done: [`view`] turns lists and events into members, [`allow`] says which values
//! may become members, [`retry`] how long to wait after a failure. None of them knows a clock, a socket or a task.
//!
//! # Example
//!
//! A service registers itself in etcd, and whoever looks for it finds it:
//!
//! ```no_run
//! use kamaitachi_discovery::{etcd, follow::Settings, register::{Registration, Service}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let etcd = etcd::Settings::new(["127.0.0.1:2379"]);
//! let service = Service { name: "kamaitachi-slave".into(), addr: "127.0.0.1:8081".parse()? };
//! let registration = Registration::start(etcd.clone(), service);
//!
//! let found = kamaitachi_discovery::follow::start(etcd, Settings::new("kamaitachi-slave"), Vec::new());
//! let mut members = found.members();
//! members.wait_for(|members| !members.is_empty()).await?;
//!
//! registration.deregister().await;
//! members.wait_for(|members| members.is_empty()).await?;
//! # Ok(()) }
//! ```
//!
//! The same as a program: `cargo run -p kamaitachi-discovery --example members -- 127.0.0.1:2379`.

mod addr;
pub mod allow;
pub mod config;
pub mod disk;
pub mod etcd;
pub mod follow;
mod membership;
pub mod poll;
pub mod register;
pub mod retry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod view;

pub use addr::{InvalidNodeAddr, NodeAddr};
pub use membership::{Found, Health, Membership, Origin, fixed};
