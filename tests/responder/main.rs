//! The whole function but for Lambda's runtime: events in, signed HTTP to the Lightsail simulator, records out.
//!
//! One binary, because each costs a link of the SDK. `scene` sets up; the other modules tell what must come of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod absent;
mod batched;
mod bus;
mod documented;
mod failed;
mod layering;
mod members;
mod panicked;
mod policy;
mod published;
mod record;
mod revoked;
mod scene;
mod searched;
mod unread;
