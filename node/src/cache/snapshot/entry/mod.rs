//! One subject as a line of JSON.

mod read;
mod scan;
mod write;

pub(crate) use read::EntryReader;
pub(crate) use write::write_entry;
