//! The edge proxy: from a configuration file to layer stacks, served on one runtime a core.
pub mod upstream;
