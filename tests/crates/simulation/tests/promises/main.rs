//! The promises, held under every fault in simulated time.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod copies;
mod deadlines;
mod frozen;
mod incidents;
mod outages;
mod table;
