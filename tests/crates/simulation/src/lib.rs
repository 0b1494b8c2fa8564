//! The function and the Lightsail simulator in one thread, in simulated time, decided by one seed.
//!
//! The function is the real one: SDK clients, retries, timeouts, connection pool. The simulation replaces what it
//! cannot control: sockets by connections in memory, the clocks by paused Tokio time, and the randomness of jitter by
//! the seed. So an incident with hours of timeouts takes milliseconds, and the same seed gives the same requests at the
//! same times.
//!
//! [`plan`] makes an incident of a seed, [`incident`] plays it, [`model`] judges it, with
//! [`reach`]. [`routes`] has the buckets and keys,
//! [`alerts`] what alerts say of them, [`weather`] the Regions that are slow, lossy or hung.

#![expect(clippy::unwrap_used, reason = "a simulation fails by panicking")]

pub mod alerts;
pub mod counts;
pub mod incident;
pub mod model;
pub mod network;
pub mod plan;
pub mod reach;
pub mod routes;
pub mod totals;
pub mod weather;
pub mod world;

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

/// Own account of the function.
pub const ACCOUNT: &str = "012345678912";
/// Account that lets the function assume a role.
pub const MEMBER: &str = "111122223333";
/// Own Region of the function, and the other one that it searches.
pub const REGION: &str = "us-east-1";
/// See [`REGION`].
pub const OTHER_REGION: &str = "eu-west-1";
/// A Region that an account must opt in to, and can disable again.
pub const OPT_IN_REGION: &str = "ap-east-1";
/// A Region that is newer than the function.
pub const NEW_REGION: &str = lightsail_simulator::Region::NEW;

/// Start of every simulation, by the wall clock.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_489_200, 0).unwrap()
}

/// Calls `work` with each item on all processors. Returns the results in the order of the items.
pub fn on_all_processors<I: Send, O: Send>(items: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let items = Mutex::new(items.into_iter().enumerate());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || std::iter::from_fn(next).map(|(place, item)| (place, work(item))).collect::<Vec<_>>();
    let mut results = std::thread::scope(|scope| {
        let running = (0..threads).map(|_| scope.spawn(run)).collect::<Vec<_>>();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Runs `work` in simulated time, with the randomness of `seed`.
pub fn simulate<T>(seed: u64, work: impl Future<Output = T>) -> T {
    // Jitter of the function and of the SDKs.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}
