//! Servers of a cache group, as those who run them meet them.

mod script;
mod secured;
