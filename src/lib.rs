//! Deletes compromised access keys of Amazon Lightsail buckets, proves that they are gone, and leaves a record.
//!
//! ```text
//! payload --alert--> Alert{exposures} --respond/key--> CaseFile --verdict--> Outcome --audit--> record -> log, bus, metrics
//! ```
//!
//! Data flows one way. Stages act on AWS and write down what they observe in a case file. One pure function, the verdict,
//! turns a case file into an outcome. Four promises settle every question, in this order: never claim that a key is dead
//! when it may be alive, never touch a key that was not named, delete right away, always leave a record.
//!
//! Modules are listed in dependency order: each imports only from lines above its own. A test enforces it.

pub mod safe_text;

pub mod names;
pub mod regions;

pub mod clock;
pub mod deadline;
pub mod invocation;

pub mod policy;

pub mod outcome;

pub mod config;

pub mod alert;

pub mod aws;

pub mod case;

pub mod audit;

pub mod respond;
