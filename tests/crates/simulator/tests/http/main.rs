//! The simulator as its clients meet it: every test starts one and talks HTTP to it over a plain
//! socket, since an HTTP library would hide the very things that the faults do.

mod buckets;
mod client;
mod control_door;
mod dialects;
mod faults;
mod program;
mod regions;
mod roles;
