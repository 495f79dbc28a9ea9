//! What the node remembers: a byte-bounded LRU of what it knows of each subject.

pub mod lru;
