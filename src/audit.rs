//! Facts and outcome -> one record -> where records go.
//!
//! Invariant: one record per key and attempt, and writing it can never fail the response: what is done is done.

mod bus;
mod message;
mod metrics;
mod record;

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};
use futures_util::FutureExt;
use serde::Serialize;
use tokio::time::Instant;

pub use record::Record;

use self::bus::{RecordBus, Unpublished};
use self::metrics::{Metrics, NotPublished};
use crate::alert::{Exposure, Origin};
use crate::aws::lightsail::{AccessKey, Operation};
use crate::aws::{Failure, FailureKind, Settings, Transmission};
use crate::config::Config;
use crate::invocation::Invocation;
use crate::names::{AccountId, Region};
use crate::outcome::Outcome;
use crate::policy::Mode;
use crate::respond::confirm::Verification;
use crate::respond::locate::{Extent, Look, Target};

/// All that is known of one key, gathered stage by stage, so that a stage that never returns is on record too.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The invocation that this is part of.
    pub invocation: Invocation,
    /// The function's own Region.
    pub own_region: Region,
    /// Whether keys are deleted.
    pub mode: Mode,
    /// Where the alert comes from.
    pub alert: Origin,
    /// The exposed key; none for an event that yields no key.
    pub exposure: Option<Exposure>,
    /// Why there is no key to act on.
    pub why: Option<String>,
    /// The bucket that the key was, or should have been, deleted from.
    pub target: Option<Target>,
    /// The account that was acted in, if known.
    pub account: Option<AccountId>,
    /// What was seen of the key before it was deleted.
    pub evidence: Evidence,
    /// Every delete of this key, sent or not.
    pub deletes: Vec<Transmission>,
    /// AWS's ID of the accepted delete.
    pub request_id: Option<String>,
    /// When the delete was accepted.
    pub accepted_at: Option<Instant>,
    /// The operations, as they last stood.
    pub operations: Vec<Operation>,
    /// What reading the keys showed.
    pub verification: Option<Verification>,
    /// When the key was seen to be gone.
    pub absent_at: Option<Instant>,
    /// How far a search went.
    pub search: Option<Extent>,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// Where records go.
pub struct Audit {
    out: Mutex<Box<dyn Write + Send>>,
    bus: Option<RecordBus>,
}

/// What was seen of the key before it was deleted. Its last use is forgotten with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Evidence {
    /// It was not looked for.
    #[default]
    None,
    /// The key, as it was listed.
    Listed(AccessKey),
    /// It was read beside the delete, and no longer listed: the delete came first.
    TooLate,
    /// It could not be read, or not in time.
    Unread,
}

/// One line of the log. Without `level`, Lambda's filter would count it as `INFO` (Lambda guide, "Log-level filtering").
#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<&'a Record>,
    #[serde(flatten)]
    metrics: Measures,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Measures {
    Record(Metrics),
    NotPublished(NotPublished),
}

impl Audit {
    /// Records go to `out`, one line each; in Lambda standard output, which it sends to CloudWatch Logs.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)), bus: None }
    }

    /// Records go to the event bus of `config` too, if it has one. Does not connect.
    pub fn with_bus(self, config: &Config, settings: &Settings) -> Self {
        Self { bus: RecordBus::new(config, settings), ..self }
    }

    /// Makes the record of `facts` and `outcome`, and writes it.
    pub fn record(&self, facts: &Facts, outcome: Outcome) -> Record {
        let record = Record::new(facts, outcome);
        let metrics = Measures::Record(Metrics::of(&record, &facts.invocation.function));
        self.write(outcome.log_level(), record.message(), Some(&record), metrics);
        record
    }

    /// Puts the records of an invocation on the event bus, if there is one. Whatever goes wrong is told in the log.
    pub async fn publish(&self, records: &[&Record], invocation: &Invocation) {
        let Some(bus) = &self.bus else { return };
        let published = AssertUnwindSafe(bus.publish(records, invocation.deadline.after_work())).catch_unwind().await;
        let panicked = |_| Err(Unpublished { records: records.len(), reason: "this function's own code panicked".to_owned() });
        let Err(Unpublished { records: lost, reason }) = published.unwrap_or_else(panicked) else { return };
        let message =
            format!("{lost} of {} records did not reach the event bus; the log has them: {reason}", records.len());
        let metrics = NotPublished::new(lost, &invocation.function, Utc::now().timestamp_millis());
        self.write("ERROR", &message, None, Measures::NotPublished(metrics));
    }

    fn write(&self, level: &'static str, message: &str, audit: Option<&Record>, metrics: Measures) {
        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        if let Err(why) = self.write_line(&Line { timestamp, level, message, audit, metrics }) {
            tracing::error!(%why, message, "a line of the audit could not be written");
        }
    }

    fn write_line(&self, line: &Line<'_>) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        // One write for the whole line: other lines must not come between.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&text)?;
        out.flush()
    }
}

impl Facts {
    /// Nothing but the alert is known yet.
    pub fn new(invocation: &Invocation, own_region: &Region, mode: Mode, alert: &Origin) -> Self {
        Self {
            invocation: invocation.clone(),
            own_region: own_region.clone(),
            mode,
            alert: alert.clone(),
            exposure: None,
            why: None,
            target: None,
            account: invocation.account.clone(),
            evidence: Evidence::None,
            deletes: Vec::new(),
            request_id: None,
            accepted_at: None,
            operations: Vec::new(),
            verification: None,
            absent_at: None,
            search: None,
            failure: None,
        }
    }

    /// Takes note of a failure. One that says more than "not found" is kept over one that does not.
    pub fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|known| known.kind == FailureKind::NotFound) {
            self.failure = Some(failure);
        }
    }

    /// What tells this alert from others: the source's ID of it, else the event's, else the invocation's.
    pub fn alert_id(&self) -> String {
        let id = self.alert.id.as_ref().or(self.alert.event_id.as_ref());
        id.map_or_else(|| self.invocation.request_id.clone(), ToString::to_string)
    }

    /// The account that this function runs in, if known.
    pub fn own_account(&self) -> Option<&AccountId> {
        self.invocation.account.as_ref()
    }

    /// The accounts that refused us, for one call or in the search.
    pub fn refused_by(&self) -> Vec<AccountId> {
        let here = self.failure.iter().filter(|failure| failure.refuses_caller()).filter_map(|_| self.account.clone());
        let unread = self.search.iter().flat_map(|search| &search.unread).filter(|unread| unread.failure.refuses_caller());
        let there = unread.filter_map(|unread| unread.account.as_deref()?.parse().ok());
        here.chain(there).collect()
    }

    /// Whether AWS may have done the work of a delete whose answer we do not have.
    pub fn may_be_deleted(&self) -> bool {
        self.deletes.iter().any(Transmission::may_have_taken_effect)
    }
}

impl Evidence {
    /// Of a look beside the delete; none if it had not ended when the key's end was known.
    pub fn of(look: Option<Look>) -> Self {
        match look {
            Some(Look::Listed(key)) => Self::Listed(key),
            Some(Look::NotListed | Look::NoBucket(_)) => Self::TooLate,
            Some(Look::Unread(_)) | None => Self::Unread,
        }
    }

    fn key(&self) -> Option<&AccessKey> {
        match self {
            Self::Listed(key) => Some(key),
            _ => None,
        }
    }

    /// As the record has it.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Listed(_) => Some("listed"),
            Self::TooLate => Some("too_late"),
            Self::Unread => Some("unread"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("no space"))
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::Error::other("no space"))
        }
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_does_not_fail_the_response() {
        let invocation = Invocation::for_tests();
        let facts = Facts::new(&invocation, &"us-east-1".parse().unwrap(), Mode::Enforce, &Origin::default());
        let record = Audit::new(Broken).record(&facts, Outcome::Unreadable);
        assert_eq!(serde_json::to_value(&record).unwrap()["status_code"], "unreadable");
    }
}
