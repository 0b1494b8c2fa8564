//! Deletes compromised access keys of Amazon Lightsail buckets, proves that they are gone, and leaves a record.
//!
//! ```text
//! payload --envelope--> Envelope --incident--> Incident{exposures} --locate--> Target --revoke--> Revocation
//!         --confirm--> Outcome --audit--> record -> log with metrics, event bus
//! ```
//!
//! Data goes one way, and each stage takes what the one before it made; [`respond`] is the whole story on one screen.
//! Four promises settle every question, in this order: never claim a key is dead that may be alive; never touch a key
//! that was not named; delete right away; always leave a record.

pub mod names;
pub mod plain_text;

pub mod respond;

pub mod envelope;
pub mod incident;

pub mod confirm;
pub mod locate;
pub mod revoke;

pub mod audit;
pub mod outcome;

pub mod config;
pub mod policy;

pub mod deadline;
pub mod pace;

pub mod lightsail;
pub mod member;
