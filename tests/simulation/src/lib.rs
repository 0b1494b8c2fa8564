//! The function and the Lightsail simulator in one thread, in simulated time, decided by one seed.
//!
//! The function is the real one: SDK clients, retries, timeouts, connection pool. The simulation replaces what it cannot
//! control: sockets by connections in memory, the clocks by paused Tokio time, and the randomness of jitter by the seed. So
//! an incident with hours of timeouts takes milliseconds, and the same seed gives the same requests at the same times.
//!
//! [`plan`] makes an incident of a seed, [`incident`] plays it, [`model`] judges it.

#![expect(clippy::unwrap_used, reason = "a simulation fails by panicking")]

pub mod incident;
pub mod model;
pub mod network;
pub mod plan;
pub mod world;

use chrono::{DateTime, Utc};

/// Own account of the function.
pub const ACCOUNT: &str = "012345678912";
/// Account that lets the function assume a role.
pub const MEMBER: &str = "111122223333";
/// Own Region of the function, and the other one that it searches.
pub const REGION: &str = "us-east-1";
/// See [`REGION`].
pub const OTHER_REGION: &str = "eu-west-1";

/// Start of every simulation, by the wall clock.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_489_200, 0).unwrap()
}

/// Runs `work` in simulated time, with the randomness of `seed`.
pub fn simulate<T>(seed: u64, work: impl Future<Output = T>) -> T {
    // Jitter of the function and of the SDKs.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}
