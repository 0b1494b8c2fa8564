//! The promises, held under every fault in simulated time.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod copies;
mod deadlines;
mod dialects;
mod frozen;
mod incidents;
mod matrix;
mod outages;
mod scenarios;
mod table;
