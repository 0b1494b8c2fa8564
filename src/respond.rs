//! Invocation -> records. The only caller of the stages.
//!
//! Invariants: every invocation leaves at least one record, every key exactly one, and a failure with one key does not
//! stop the others. `respond/key.rs` is the story of one key, `respond/verdict.rs` decides its outcome.

mod accounts;
mod confirm;
mod key;
mod lane;
mod locate;
mod revoke;
mod shared;
mod sweep;
mod verdict;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use serde::Serialize;
use tracing::info_span;

use self::accounts::Accounts;
use self::sweep::Sweep;
use crate::alert::envelope::{self, Delivery, Message};
use crate::alert::{self, Alert, Exposure, Origin, Unactionable, Unreadable};
use crate::audit::{Audit, Record};
use crate::aws::Settings;
use crate::case::{CaseFile, Obstacle};
use crate::clock::Clock;
use crate::config::Config;
use crate::deadline::Timeouts;
use crate::invocation::Invocation;
use crate::names::Region;
use crate::outcome::{InvocationError, Outcome};
use crate::policy::{Mode, Policy};

/// The function, ready for any number of invocations.
pub struct Responder {
    region: Region,
    regions: Vec<Region>,
    policy: Policy,
    accounts: Accounts,
    timeouts: Timeouts,
    clock: Clock,
    audit: Audit,
    warm: AtomicBool,
}

/// Response to an invocation that succeeded.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// One record per key, or one for an alert without a key.
    Records {
        /// The records.
        records: Vec<Record>,
    },
    /// Items of an SQS batch that SQS must deliver again.
    Batch(SqsBatchResponse),
}

impl Responder {
    /// Prepares the function as far as possible without an alert. Sends nothing but one DNS query. Must be called
    /// within a Tokio runtime.
    pub fn new(config: &Config, audit: Audit) -> Self {
        Self::with(config, audit, &Settings::new(config))
    }

    /// Prepares the function with connections and a clock of its own, for a simulation.
    pub fn with(config: &Config, audit: Audit, settings: &Settings) -> Self {
        Self {
            region: config.region.clone(),
            regions: config.regions.clone(),
            policy: config.policy.clone(),
            accounts: Accounts::new(config, settings),
            timeouts: config.timeouts.clone(),
            clock: settings.clock().clone(),
            audit: audit.with_bus(config, settings),
            warm: AtomicBool::new(false),
        }
    }

    /// Reads Lambda's context: request ID, ARN of the function, and deadline in epoch milliseconds.
    pub fn invocation(&self, request_id: &str, function_arn: &str, deadline_ms: u64) -> Invocation {
        Invocation::new(request_id, function_arn, deadline_ms, !self.warm.swap(true, Ordering::Relaxed), &self.clock)
    }

    /// Answers one invocation: acts on every key that `payload` exposes, and records each.
    pub async fn respond(&self, payload: &str, invocation: Invocation) -> Result<Response, InvocationError> {
        let (items, is_queue) = match without_panic(|| envelope::open(payload)) {
            Some(Delivery::Together(messages)) => (vec![self.item(invocation.clone(), &messages)], false),
            Some(Delivery::Queue(messages)) => {
                let item = |envelope::Item { id: message_id, receive_count, messages }| {
                    self.item(Invocation { message_id, receive_count, ..invocation.clone() }, &messages)
                };
                (messages.into_iter().map(item).collect(), true)
            }
            None => (vec![self.item(invocation.clone(), &[])], false),
        };
        let records = self.records(&items, &invocation).await;
        // Publishing is last: every key has been dealt with, and every record is in the log.
        self.audit.publish(&records.iter().flatten().collect::<Vec<_>>(), &invocation).await;
        if is_queue {
            batch(items.into_iter().map(|item| item.invocation.message_id).zip(records))
        } else {
            judge(records.into_iter().flatten().collect())
        }
    }

    /// Parses messages that are answered together. No message stands for a payload that could not be opened.
    fn item(&self, invocation: Invocation, messages: &[Message]) -> Item {
        let read = || alert::read(messages, self.policy.max_keys, invocation.account.as_ref());
        let alerts = without_panic(read).filter(|alerts| !alerts.is_empty());
        let panicked = || vec![Alert { origin: Origin::default(), exposures: Err(Unreadable::Panicked.into()) }];
        Item { alerts: alerts.unwrap_or_else(panicked), invocation }
    }

    /// Returns the records of each item. All keys are handled concurrently, because one that waits for AWS must not use
    /// up the time of the others. Records of alerts without a key are written while the keys wait, one at a time: a
    /// message full of them must not hold up a delete.
    async fn records(&self, items: &[Item], invocation: &Invocation) -> Vec<Vec<Record>> {
        let wanted = items.iter().flat_map(Item::exposures).map(|(_, exposure)| &exposure.key);
        let sweep = Sweep::new(wanted, &self.region, invocation.deadline, self.timeouts.initial_pause);
        let sweep = &sweep;
        let keys = items.iter().enumerate().flat_map(|(place, item)| {
            let record = move |(origin, exposure)| async move {
                (place, self.key(&item.invocation, origin, exposure, sweep).await)
            };
            item.exposures().map(record)
        });
        let others = async {
            let mut records = Vec::new();
            for (place, item) in items.iter().enumerate() {
                for (origin, reason) in item.reasons() {
                    tokio::task::yield_now().await;
                    records.push((place, self.without_key(&item.invocation, origin, reason)));
                }
            }
            records
        };
        let (keys, others) = join(join_all(keys), others).await;
        let mut records: Vec<Vec<Record>> = items.iter().map(|_| Vec::new()).collect();
        for (place, record) in keys.into_iter().chain(others) {
            records[place].push(record);
        }
        records
    }

    fn without_key(&self, invocation: &Invocation, origin: &Origin, reason: &Unactionable) -> Record {
        let case = CaseFile::new(invocation, &self.region, self.policy.mode, origin, Err(reason.clone()));
        self.audit.record(&case, &verdict::decide(&case))
    }

    async fn key<'a>(
        &'a self,
        invocation: &Invocation,
        origin: &Origin,
        exposure: &Exposure,
        sweep: &Sweep<'a>,
    ) -> Record {
        let mode = if exposure.dry_run { Mode::DryRun } else { self.policy.mode };
        let mut case = CaseFile::new(invocation, &self.region, mode, origin, Ok(exposure.clone()));
        if AssertUnwindSafe(self.pursue(exposure, sweep, &mut case)).catch_unwind().await.is_err() {
            case.obstacle = Some(Obstacle::Panicked);
        }
        self.audit.record(&case, &verdict::decide(&case))
    }
}

/// Alerts that are answered together: one message of an SQS batch, or the whole payload.
struct Item {
    /// The invocation, with the SQS message if there is one.
    invocation: Invocation,
    alerts: Vec<Alert>,
}

impl Item {
    fn exposures(&self) -> impl Iterator<Item = (&Origin, &Exposure)> {
        let keys = self.alerts.iter().filter_map(|alert| Some((&alert.origin, alert.exposures.as_ref().ok()?)));
        keys.flat_map(|(origin, exposures)| exposures.iter().map(move |exposure| (origin, exposure)))
    }

    fn reasons(&self) -> impl Iterator<Item = (&Origin, &Unactionable)> {
        self.alerts.iter().filter_map(|alert| Some((&alert.origin, alert.exposures.as_ref().err()?)))
    }
}

/// Runs the parsing of an alert. None if it panicked: that is no reason to leave no record.
fn without_panic<T>(read: impl FnOnce() -> T) -> Option<T> {
    let staged = || {
        let _stage = info_span!("read").entered();
        read()
    };
    std::panic::catch_unwind(AssertUnwindSafe(staged)).ok()
}

/// Answers Lambda. One failed record makes the invocation an error, so that Lambda retries it. The retry finds the
/// other keys gone.
fn judge(records: Vec<Record>) -> Result<Response, InvocationError> {
    let worst = records.iter().map(Record::outcome).max();
    let Some(error_type) = worst.and_then(Outcome::error_type) else {
        return Ok(Response::Records { records });
    };
    let failed = records.iter().filter(|record| record.outcome().error_type().is_some());
    let message = failed.map(Record::message).collect::<Vec<_>>().join("\n");
    Err(InvocationError { error_type, message })
}

/// Answers SQS with the items to deliver again. An item without an ID fails the whole batch (Lambda guide, "Handling
/// errors for an SQS event source"): the other items come again too, and find their keys gone.
fn batch(answers: impl Iterator<Item = (Option<String>, Vec<Record>)>) -> Result<Response, InvocationError> {
    let mut response = SqsBatchResponse::default();
    for (id, records) in answers {
        let Err(error) = judge(records) else { continue };
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id.ok_or(error)?;
        response.batch_item_failures.push(failure);
    }
    Ok(Response::Batch(response))
}
