//! Groups of real servers on loopback.

mod clients;
mod members;
mod reads;
mod rig;
mod writes;
