//! What `bench.py` asks for.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Starts of programs, in turns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is measured.
    pub programs: Vec<Program>,
    /// How often each is started.
    pub starts: usize,
    /// The invocations of each process, one after the other.
    pub invocations: Vec<Invocation>,
    /// Certificates of authorities that a program finds beside the stand's own (PEM), as on any machine.
    pub trusted: String,
    /// Memory of the function, for the share of a processor that Lambda would give; none for all of the machine.
    pub memory_mb: Option<u64>,
    /// End of each program.
    pub ends: Ends,
}

/// Point at which a program is ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// After all invocations, by SIGKILL.
    Answered,
    /// By SIGTERM when its delete has been read. The delete is never answered.
    AtDelete,
    /// By SIGTERM when its first answer has been read and all of its threads sleep. The answer is never acknowledged, so the
    /// work until then is the same on an idle and on a busy machine.
    AtAnswer,
}

/// A program that speaks to the Runtime API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// For the result.
    pub name: String,
    /// Path and arguments.
    pub command: Vec<String>,
    /// Beside what Lambda sets and the function is given.
    pub environment: BTreeMap<String, String>,
}

/// One event, and the Lightsail that it meets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invocation {
    /// The payload.
    pub event: Value,
    /// The buckets and their keys, put there anew before the invocation.
    pub buckets: Vec<Bucket>,
}

/// A bucket with its keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Where it is.
    pub region: String,
    /// Its name.
    pub name: String,
    /// Key IDs.
    pub keys: Vec<String>,
}
