//! Tests of the whole function without Lambda's runtime: events in, signed HTTP to the Lightsail simulator, records
//! out.
//!
//! All tests are in one binary, because each binary links the SDK again. `scene` has the setup, and `bus` has a fake
//! event bus. The other modules have the tests. Those in `alerts` only parse, and generate what they parse.

#![expect(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod absent;
mod alerts {
    mod deliveries;
    mod held;
    mod large;
    mod properties;
    mod sources;
}
mod at_scale;
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
mod relayed;
mod revoked;
mod scene;
mod searched;
mod unread;
