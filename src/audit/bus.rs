//! Records -> the event bus for records.
//!
//! Notifications, archives and other systems are rules on that bus, so none of them is code of this function.
//! Invariants: all work is done and recorded before anything is put on the bus, and a failure here is logged and
//! changes nothing else.

use super::Record;
use crate::aws::Settings;
use crate::aws::eventbridge::{Event, EventBridge, MAX_BYTES, MAX_ENTRIES};
use crate::config::Config;
use crate::deadline::{Deadline, Timeouts};
use crate::safe_text::SafeText;

/// EventBridge `source` of published records.
const SOURCE: &str = "lightsail-key-responder";

/// EventBridge `detail-type` of published records.
const DETAIL_TYPE: &str = "Lightsail Bucket Access Key Response";

/// Upper bound of the bytes that an entry has beside its detail.
const BESIDE_DETAIL: usize = 1024;

/// Retryable error codes of entries (API reference, "PutEventsResultEntry").
const RETRYABLE: [&str; 3] = ["InternalFailure", "InternalException", "ThrottlingException"];

/// Event bus for records.
#[derive(Debug)]
pub(super) struct RecordBus {
    eventbridge: EventBridge,
    /// Name or ARN of the bus.
    name: String,
    timeouts: Timeouts,
}

/// Records that did not reach the bus, as far as is known.
#[derive(Debug)]
pub(super) struct Unpublished {
    /// Number of records.
    pub(super) records: usize,
    /// Reason of the last one.
    pub(super) reason: String,
}

/// A record as an event's detail.
struct Detail {
    json: String,
    time: i64,
}

impl RecordBus {
    /// Prepares the configured bus without connecting. None if no bus is configured.
    pub(super) fn new(config: &Config, settings: &Settings) -> Option<Self> {
        let name = config.record_bus.clone()?;
        Some(Self { eventbridge: EventBridge::new(settings), name, timeouts: config.timeouts.clone() })
    }

    /// Puts `records` on the bus. A lost call is retried, so that a record can be there twice.
    pub(super) async fn publish(&self, records: &[&Record], deadline: Deadline) -> Result<(), Unpublished> {
        let deadline = deadline.at_most(self.timeouts.publish);
        let mut unpublished = Unpublished { records: 0, reason: String::new() };
        for details in calls(details(records)) {
            if let Err(part) = self.put(details, deadline).await {
                unpublished = Unpublished { records: unpublished.records + part.records, reason: part.reason };
            }
        }
        if unpublished.records == 0 { Ok(()) } else { Err(unpublished) }
    }

    /// Makes one call, and repeats it with the refused entries.
    async fn put(&self, mut details: Vec<Detail>, deadline: Deadline) -> Result<(), Unpublished> {
        let mut pauses = deadline.pauses(&self.timeouts);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let events = details.iter().map(|detail| self.event(detail)).collect::<Vec<_>>();
            let refused = match self.eventbridge.put_events(&events, deadline).await {
                Ok(refused) => refused,
                Err(failure) => return Err(Unpublished { records: details.len(), reason: failure.to_string() }),
            };
            let Some(first) = refused.first() else { return Ok(()) };
            let reason = format!("PutEvents refused the entry: {}", SafeText::of(&first.code));
            let retryable = refused.iter().any(|entry| RETRYABLE.contains(&entry.code.as_str()));
            let indices = refused.iter().map(|entry| entry.index).collect::<Vec<_>>();
            let mut index = 0..;
            details.retain(|_| index.next().is_some_and(|index| indices.contains(&index)));
            if !retryable || attempts >= self.timeouts.max_attempts || pauses.pause().await.is_err() {
                return Err(Unpublished { records: details.len(), reason });
            }
        }
    }

    fn event<'a>(&'a self, detail: &'a Detail) -> Event<'a> {
        Event { bus: &self.name, source: SOURCE, detail_type: DETAIL_TYPE, detail: &detail.json, time: detail.time }
    }
}

fn details(records: &[&Record]) -> impl Iterator<Item = Detail> {
    // A record is plain data: if it could not be serialised, there would be no log line either.
    let detail = |record: &&Record| Some(Detail { json: serde_json::to_string(record).ok()?, time: record.time() });
    records.iter().filter_map(detail)
}

/// Splits details into calls within EventBridge's limits. A detail that is too large gets a call of its own, which
/// EventBridge refuses.
fn calls(details: impl Iterator<Item = Detail>) -> Vec<Vec<Detail>> {
    let mut calls: Vec<Vec<Detail>> = Vec::new();
    let mut bytes = 0;
    for detail in details {
        let size = detail.json.len() + BESIDE_DETAIL;
        let fits = calls.last().is_some_and(|call| call.len() < MAX_ENTRIES) && bytes + size <= MAX_BYTES;
        if !fits {
            calls.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(call) = calls.last_mut() {
            call.push(detail);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Details of this many bytes each, with what an entry has beside them, are half a call.
    const HALF: usize = MAX_BYTES / 2 - BESIDE_DETAIL;

    /// Returns the number of entries in each call for details of these sizes.
    fn entries(bytes: &[usize]) -> Vec<usize> {
        let details = bytes.iter().map(|bytes| Detail { json: "x".repeat(*bytes), time: 0 });
        calls(details).iter().map(Vec::len).collect()
    }

    #[test]
    fn call_has_at_most_ten_entries() {
        assert_eq!(entries(&[1; 23]), [10, 10, 3]);
        assert_eq!(entries(&[1; 10]), [10]);
        assert_eq!(entries(&[]), [0; 0]);
    }

    #[test]
    fn call_has_at_most_256_kib() {
        assert_eq!(entries(&[HALF, HALF]), [2]);
        assert_eq!(entries(&[HALF, HALF + 1]), [1, 1]);
        assert_eq!(entries(&[HALF, HALF + 1, HALF - 1, 1]), [1, 2, 1]);
    }

    #[test]
    fn detail_that_is_too_large_has_own_call() {
        assert_eq!(entries(&[1, MAX_BYTES, 1]), [1, 1, 1]);
    }
}
