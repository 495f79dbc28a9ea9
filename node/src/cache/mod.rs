//! What the node remembers: a byte-bounded LRU of what it knows of each subject, kept true while
//! the store is written.

mod counters;
mod flights;
mod foretold;
mod knowledge;
mod load;
pub mod lru;
mod members;
pub mod snapshot;
pub mod stock_data_map;
mod writes;

pub use foretold::Heard;
pub use knowledge::CacheLimits;
pub(crate) use {
    flights::{Entry, Ticket},
    knowledge::Knowledge,
    load::Load,
    members::{FilledMembers, MemberKey, MemberTicket, Members, OwnedKey},
    writes::Mark,
};
