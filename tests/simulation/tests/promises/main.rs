//! The promises, held under every fault in simulated time.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod incidents;
mod table;
