//! Trials of the built function as a process: killed, kept warm for long, or cut off from Lightsail.
//!
//! ```text
//! event --Lambda--> Runtime API --> bootstrap --Gate--> simulator
//!                        ^              |
//!                        +--- kill -9 --+
//! ```
//!
//! [`Lambda`] replaces the service that starts the process and delivers events again. [`Gate`] replaces the network
//! between the process and Lightsail. Neither of them knows what the function does. [`Scene`] is Lightsail with the
//! compromised key, and checks the invariants of each answer. Cargo builds the program before `tests/process`, because both
//! are of one package.

mod authority;
mod gate;
mod lambda;
mod process;
mod runtime_api;
mod scene;

use std::io::Write;

pub use crate::authority::Authority;
pub use crate::gate::{Gate, NetworkFault, Plan};
pub use crate::lambda::{Answer, End, Kill, Lambda, Settings, until};
pub use crate::runtime_api::{Event, Exchange, Moment, RuntimeApi};
pub use crate::scene::Scene;

/// Writes figures of a trial to standard error. It does not use `eprintln!`, because the test harness hides the output
/// of tests that pass.
pub fn report(text: &str) {
    // The trial continues even if standard error is closed.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Account in the function's ARN. It is the simulator's default.
pub const ACCOUNT: &str = "012345678912";
/// Region in the function's environment.
pub const REGION: &str = "us-east-1";
/// Secret of the function's role, with which the simulator verifies signatures. It is not a real secret.
pub const SECRET_ACCESS_KEY: &str = "oWnS3cr3tOfTheFunct1on/NeverShow+Me7XyZQ";
