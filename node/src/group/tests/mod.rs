//! Groups alone, groups of real servers on loopback, and a model of groups without any.

mod cluster;
mod local;
mod model;
