//! Trials of the built function, as a process: what it does when it is killed, kept warm for long, or cut off from
//! Lightsail.
//!
//! ```text
//! event --Lambda--> Runtime API --> bootstrap --Gate--> simulator
//!                        ^              |
//!                        +--- kill -9 --+
//! ```
//!
//! [`Lambda`] stands for the service that starts the process and delivers events again; [`Gate`] for the network between
//! it and Lightsail. Neither knows what the function does. [`Scene`] is Lightsail with the key in question, and knows what must
//! hold of every answer. The program must have been built before: `cargo build --workspace --bins`, since
//! `cargo test --test` alone does not build it anew.

mod authority;
mod gate;
mod lambda;
mod process;
mod runtime_api;
mod scene;

use std::io::Write;

pub use crate::authority::Authority;
pub use crate::gate::{Befalls, Gate, Plan};
pub use crate::lambda::{Answer, End, Kill, Lambda, Settings, until};
pub use crate::runtime_api::{Desk, Event, Moment, RuntimeApi};
pub use crate::scene::Scene;

/// Shows figures of a trial. A test that passes has what it prints swallowed; these are wanted then.
pub fn say(text: &str) {
    // When nobody can be told, the trial goes on.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// The account that the function is told it runs in: the simulator's default.
pub const ACCOUNT: &str = "012345678912";
/// The Region that the function is told it runs in.
pub const REGION: &str = "us-east-1";
/// The secret of the function's role, for the simulator to verify signatures with. Not a real one.
pub const SECRET_ACCESS_KEY: &str = "oWnS3cr3tOfTheFunct1on/NeverShow+Me7XyZQ";
