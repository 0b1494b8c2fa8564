//! The fault table, and what holds after any sequence of faults: the function as a library over the simulator, at a pace
//! that suits a test. What befalls connecting and TLS is in `network.rs`, on the built function.
//!
//! `model` says what must be true after one delivery, whatever went wrong; `table` is each fault by itself, at each call
//! and attempt; `sequences` are random ones.

#![expect(clippy::unwrap_used, reason = "a trial fails by panicking, in its helpers too")]

mod model;
mod scene;
mod sequences;

mod table;
