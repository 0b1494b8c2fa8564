//! Tests of the built function as a process: killed, kept warm for long, or cut off from Lightsail.
//!
//! `responder_harness` replaces Lambda and the network. All tests are in one binary, because each binary links the
//! harness and the simulator again.

mod crowded;
mod gate;
mod kill;
mod lambda;
mod network;
mod warm;
