//! Records -> the event bus for records, by EventBridge's `PutEvents`.
//!
//! The only file that names `aws_sdk_eventbridge`. It is for whoever must be told: notices, archives and other systems are
//! rules on that bus, and none of it is code of ours. Invariants: all work is done and on record before anything is put on
//! the bus; what goes wrong here is told in the log and changes nothing else.

use std::sync::OnceLock;

use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_eventbridge::{Client, Config as ClientConfig};

use super::Record;
use crate::aws::{Failure, HttpClient, Wire, client_config};
use crate::config::Config;
use crate::deadline::Deadline;
use crate::deadline::Timeouts;
use crate::safe_text::SafeText;

/// Who puts the events there.
const SOURCE: &str = "lightsail-key-responder";

/// What they are.
const DETAIL_TYPE: &str = "Lightsail Bucket Access Key Response";

/// As many entries, and together as many bytes, as one call may have (EventBridge user guide, "Calculating PutEvents event
/// entry size", and API reference, "PutEvents"). What an entry has beside its detail is far below a kilobyte.
const MOST_ENTRIES: usize = 10;
const MOST_BYTES: usize = 256 * 1024;
const BESIDE_DETAIL: usize = 1024;

/// What EventBridge says of an entry, or of a call, that may go better a moment later (API reference, "PutEventsResultEntry").
const PASSING: [&str; 3] = ["InternalFailure", "InternalException", "ThrottlingException"];

const CALL: &str = "PutEvents";

/// The bus that records are put on.
#[derive(Debug)]
pub(super) struct RecordBus {
    /// Made at the first record, and not before the first delete.
    client: OnceLock<Client>,
    config: ClientConfig,
    /// Its name or ARN.
    name: String,
    timeouts: Timeouts,
}

/// Records that did not reach the bus.
#[derive(Debug)]
pub(super) struct Lost {
    /// How many.
    pub(super) records: usize,
    /// Why the last of them did not.
    pub(super) why: String,
}

/// A record on its way.
struct Entry {
    detail: String,
    time: i64,
}

impl RecordBus {
    /// The bus that is configured, if one is. Connects to nothing.
    pub(super) fn new(config: &Config, http: HttpClient) -> Option<Self> {
        let name = config.record_bus.clone()?;
        let client_config = client_config!(aws_sdk_eventbridge, config, http, config.endpoints.eventbridge);
        Some(Self { client: OnceLock::new(), config: client_config, name, timeouts: config.timeouts.clone() })
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::from_conf(self.config.clone()))
    }

    /// Puts `records` on the bus. A call that was lost is made again, so that a record can be there twice.
    ///
    /// The error says how many are not there, as far as is known.
    pub(super) async fn publish(&self, records: &[&Record], deadline: Deadline) -> Result<(), Lost> {
        let deadline = deadline.at_most(self.timeouts.publish);
        let mut lost = Lost { records: 0, why: String::new() };
        for entries in calls(records) {
            if let Err(part) = self.put(entries, deadline).await {
                lost = Lost { records: lost.records + part.records, why: part.why };
            }
        }
        if lost.records == 0 { Ok(()) } else { Err(lost) }
    }

    /// Makes one call, and again with the entries that failed: a call can succeed and its entries not.
    async fn put(&self, mut entries: Vec<Entry>, deadline: Deadline) -> Result<(), Lost> {
        let mut pauses = deadline.pauses(&self.timeouts);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let refused = match self.call(&entries, deadline).await {
                Ok(refused) => refused,
                Err(failure) => return Err(Lost { records: entries.len(), why: failure.to_string() }),
            };
            let Some((_, code)) = refused.first().cloned() else { return Ok(()) };
            let again = refused.iter().any(|(_, code)| PASSING.contains(&code.as_str()));
            let why = format!("{CALL} refused the entry: {}", SafeText::of(&code));
            entries = take(entries, &refused);
            if !again || attempts >= self.timeouts.max_attempts || pauses.pause().await.is_err() {
                return Err(Lost { records: entries.len(), why });
            }
        }
    }

    /// The entries that were refused, by their place, each with EventBridge's code.
    async fn call(&self, entries: &[Entry], deadline: Deadline) -> Result<Vec<(usize, String)>, Failure> {
        let wire = Wire::default();
        let request =
            self.client().put_events().set_entries(Some(entries.iter().map(|entry| self.entry(entry)).collect()));
        let call = deadline.within(request.customize().interceptor(wire.clone()).send()).await;
        let output = call.map_err(|_| Failure::out_of_time(CALL, &wire))?;
        let output = output.map_err(|error| Failure::from_sdk(CALL, &error, &wire))?;
        refused(&output, entries.len()).ok_or_else(|| Failure::garbled(CALL, "an answer for other entries", &wire))
    }

    fn entry(&self, Entry { detail, time }: &Entry) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(SOURCE)
            .detail_type(DETAIL_TYPE)
            .time(DateTime::from_millis(*time))
            .detail(detail)
            .build()
    }
}

/// Records in calls that are not too large. One that is too large by itself gets a call of its own, which is refused.
fn calls(records: &[&Record]) -> Vec<Vec<Entry>> {
    let mut calls: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        // A record is plain data: it can be written, or else its log line could not have been.
        let Ok(detail) = serde_json::to_string(record) else { continue };
        let size = detail.len() + BESIDE_DETAIL;
        let fits = calls.last().is_some_and(|call| call.len() < MOST_ENTRIES) && bytes + size <= MOST_BYTES;
        if !fits {
            calls.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(call) = calls.last_mut() {
            call.push(Entry { detail, time: record.time() });
        }
    }
    calls
}

/// None where the answer does not say how each entry fared: they come in the order of the request.
fn refused(output: &PutEventsOutput, sent: usize) -> Option<Vec<(usize, String)>> {
    let entries = output.entries();
    let code = |(place, entry): (usize, &aws_sdk_eventbridge::types::PutEventsResultEntry)| {
        // An entry that was taken has an ID.
        let refused = entry.event_id().is_none() || entry.error_code().is_some();
        refused.then(|| (place, entry.error_code().unwrap_or("no event ID").to_owned()))
    };
    (entries.len() == sent).then(|| entries.iter().enumerate().filter_map(code).collect())
}

fn take(entries: Vec<Entry>, refused: &[(usize, String)]) -> Vec<Entry> {
    let places = refused.iter().map(|(place, _)| *place).collect::<Vec<_>>();
    let kept = entries.into_iter().enumerate().filter(|(place, _)| places.contains(place));
    kept.map(|(_, entry)| entry).collect()
}
