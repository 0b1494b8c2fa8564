//! Case file and verdict -> one record -> log, metrics, event bus.
//!
//! Invariant: one record per key and attempt. A record that cannot be written does not fail the response, because the
//! work is done.

mod bus;
mod message;
mod metrics;
mod record;

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use chrono::SecondsFormat;
use futures_util::FutureExt;
use serde::Serialize;

pub use record::Record;

use self::bus::{RecordBus, Unpublished};
use self::metrics::{Metrics, NotPublished};
use crate::aws::Settings;
use crate::case::{CaseFile, Verdict};
use crate::clock::Clock;
use crate::config::Config;
use crate::invocation::Invocation;

/// Destinations of records.
pub struct Audit {
    out: Mutex<Box<dyn Write + Send>>,
    bus: Option<RecordBus>,
    clock: Clock,
}

/// One line of the log. Without `level`, Lambda's filter would count it as `INFO` (Lambda guide, "Log-level
/// filtering").
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
    /// Writes records to `out`, one line each. In Lambda this is standard output, which it sends to CloudWatch Logs.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)), bus: None, clock: Clock::default() }
    }

    /// Puts records on the event bus of `config` too, if it has one, and dates them by the clock of `settings`. Does
    /// not connect.
    pub fn with_bus(self, config: &Config, settings: &Settings) -> Self {
        Self { bus: RecordBus::new(config, settings), clock: settings.clock().clone(), ..self }
    }

    /// Makes the record of a case, and writes it.
    pub fn record(&self, case: &CaseFile, verdict: &Verdict<'_>) -> Record {
        let record = Record::new(case, verdict);
        let metrics = Measures::Record(Metrics::of(&record, &case.invocation.function));
        self.write(verdict.outcome.log_level(), record.message(), Some(&record), metrics);
        record
    }

    /// Puts the records of an invocation on the event bus, if there is one. Logs any failure.
    pub async fn publish(&self, records: &[&Record], invocation: &Invocation) {
        let Some(bus) = &self.bus else { return };
        let published = AssertUnwindSafe(bus.publish(records, invocation.deadline.after_work())).catch_unwind().await;
        let panicked =
            |_| Err(Unpublished { records: records.len(), reason: "this function's own code panicked".to_owned() });
        let Err(Unpublished { records: missing, reason }) = published.unwrap_or_else(panicked) else { return };
        let message =
            format!("{missing} of {} records did not reach the event bus; the log has them: {reason}", records.len());
        let metrics = NotPublished::new(missing, &invocation.function, self.clock.now().timestamp_millis());
        self.write("ERROR", &message, None, Measures::NotPublished(metrics));
    }

    fn write(&self, level: &'static str, message: &str, audit: Option<&Record>, metrics: Measures) {
        let timestamp = self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        if let Err(error) = self.write_line(&Line { timestamp, level, message, audit, metrics }) {
            tracing::error!(%error, message, "a line of the audit could not be written");
        }
    }

    fn write_line(&self, line: &Line<'_>) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        // One write for the whole line, so that no other line comes between.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&text)?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::alert::{Origin, Unreadable};
    use crate::outcome::Outcome;
    use crate::policy::Mode;

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
    async fn broken_log_does_not_fail_the_response() {
        let exposure = Err(Unreadable::Panicked.into());
        let region = "us-east-1".parse().unwrap();
        let case = CaseFile::new(&Invocation::for_tests(), &region, Mode::Enforce, &Origin::default(), exposure);
        let verdict = Verdict { outcome: Outcome::Unreadable, visit: None };
        let record = Audit::new(Broken).record(&case, &verdict);
        assert_eq!(serde_json::to_value(&record).unwrap()["status_code"], "unreadable");
    }
}
