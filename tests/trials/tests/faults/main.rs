//! Trials of the fault table and of random fault sequences. The function runs as a library over the simulator, with
//! short timeouts. `network.rs` covers faults of connecting and of TLS with the built function.
//!
//! `model` has the rules that each delivery must keep. `table` tries each fault at each call and attempt. `sequences`
//! tries random sequences.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

mod model;
mod scene;
mod sequences;

mod table;
