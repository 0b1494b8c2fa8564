//! `PutEvents`: events on an event bus.

use std::sync::OnceLock;

use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use aws_sdk_eventbridge::{Client, Config};

use super::{Call, Failure, Settings, client_config, send};
use crate::deadline::Deadline;

/// Most entries of one call, and most bytes of all entries together (EventBridge user guide, "Calculating PutEvents
/// event entry size", and API reference, "PutEvents").
pub const MAX_ENTRIES: usize = 10;
/// See [`MAX_ENTRIES`].
pub const MAX_BYTES: usize = 256 * 1024;

/// EventBridge in the own Region.
#[derive(Debug)]
pub struct EventBridge {
    config: Config,
    /// Made when the first event is put, so that it never delays a delete.
    client: OnceLock<Client>,
}

/// Event to put on a bus.
#[derive(Debug)]
pub struct Event<'a> {
    /// Name or ARN of the bus.
    pub bus: &'a str,
    /// EventBridge `source`.
    pub source: &'a str,
    /// EventBridge `detail-type`.
    pub detail_type: &'a str,
    /// JSON object.
    pub detail: &'a str,
    /// Epoch milliseconds.
    pub time: i64,
}

/// Entry that EventBridge did not take, by its index in the request.
#[derive(Debug)]
pub struct RefusedEntry {
    /// Index in the request.
    pub index: usize,
    /// EventBridge's error code.
    pub code: String,
}

impl EventBridge {
    /// Prepares the client without connecting.
    pub fn new(settings: &Settings) -> Self {
        let config = client_config!(aws_sdk_eventbridge, settings, eventbridge);
        Self { config, client: OnceLock::new() }
    }

    /// Calls `PutEvents`. The call can succeed although entries are refused.
    pub async fn put_events(&self, events: &[Event<'_>], deadline: Deadline) -> Result<Vec<RefusedEntry>, Failure> {
        let call = Call::new("PutEvents", deadline);
        let client = self.client.get_or_init(|| Client::from_conf(self.config.clone()));
        let request = client.put_events().set_entries(Some(events.iter().map(entry).collect()));
        let output = send!(call, request).await?;
        refused(&output, events.len()).ok_or_else(|| call.malformed("results for other entries"))
    }
}

fn entry(event: &Event<'_>) -> PutEventsRequestEntry {
    PutEventsRequestEntry::builder()
        .event_bus_name(event.bus)
        .source(event.source)
        .detail_type(event.detail_type)
        .time(DateTime::from_millis(event.time))
        .detail(event.detail)
        .build()
}

/// Returns the entries without success. None if the results do not match the request: they have its order.
fn refused(output: &PutEventsOutput, sent: usize) -> Option<Vec<RefusedEntry>> {
    let results = output.entries();
    let refused = |(index, result): (usize, &PutEventsResultEntry)| {
        // An entry that was taken has an ID.
        let refused = result.event_id().is_none() || result.error_code().is_some();
        refused.then(|| RefusedEntry { index, code: result.error_code().unwrap_or("no event ID").to_owned() })
    };
    (results.len() == sent).then(|| results.iter().enumerate().filter_map(refused).collect())
}
