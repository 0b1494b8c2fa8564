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
use futures_util::future::join_all;
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
        let work = match without_panic(|| envelope::open(payload)) {
            Some(Delivery::Together(messages)) => Work::Together(self.read(&messages)),
            Some(Delivery::Queue(items)) => {
                Work::Queue(items.into_iter().map(|item| (item.id, self.read(&item.messages))).collect())
            }
            None => Work::Together(self.read(&[])),
        };
        let sweep = self.sweep(&work, &invocation);
        let answer = match &work {
            Work::Together(alerts) => Answer::Together(self.answer(&invocation, alerts, &sweep).await),
            Work::Queue(items) => {
                // Concurrently, because an item that waits for AWS must not use up the time of the others.
                let answers = items.iter().map(async |(id, alerts)| {
                    let invocation = Invocation { message_id: id.clone(), ..invocation.clone() };
                    (id.clone(), self.answer(&invocation, alerts, &sweep).await)
                });
                Answer::Queue(join_all(answers).await)
            }
        };
        // Publishing is last: every key has been dealt with, and every record is in the log.
        self.audit.publish(&answer.records(), &invocation).await;
        match answer {
            Answer::Together(records) => judge(records),
            Answer::Queue(answers) => batch(answers),
        }
    }

    /// Parses messages that arrived together. No message stands for a payload that could not be opened.
    fn read(&self, messages: &[Message]) -> Vec<Alert> {
        let alerts = without_panic(|| alert::read(messages, self.policy.max_keys)).filter(|alerts| !alerts.is_empty());
        let panicked = || vec![Alert { origin: Origin::default(), exposures: Err(Unreadable::Panicked.into()) }];
        alerts.unwrap_or_else(panicked)
    }

    /// Prepares the search that all keys of the invocation share.
    fn sweep<'a>(&'a self, work: &Work, invocation: &Invocation) -> Sweep<'a> {
        let exposures = work.alerts().filter_map(|alert| alert.exposures.as_ref().ok()).flatten();
        let keys = exposures.map(|exposure| &exposure.key);
        Sweep::new(keys, &self.region, invocation.deadline, self.timeouts.initial_pause)
    }

    /// Returns the records of alerts that arrived together.
    async fn answer<'a>(&'a self, invocation: &Invocation, alerts: &[Alert], sweep: &Sweep<'a>) -> Vec<Record> {
        let records = join_all(alerts.iter().map(|alert| self.alert(invocation, alert, sweep))).await;
        records.into_iter().flatten().collect()
    }

    async fn alert<'a>(&'a self, invocation: &Invocation, alert: &Alert, sweep: &Sweep<'a>) -> Vec<Record> {
        match &alert.exposures {
            Err(reason) => vec![self.without_key(invocation, &alert.origin, reason)],
            Ok(exposures) => {
                let origin = &alert.origin;
                join_all(exposures.iter().map(|exposure| self.key(invocation, origin, exposure, sweep))).await
            }
        }
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

/// All alerts of one invocation.
enum Work {
    Together(Vec<Alert>),
    /// By item of an SQS batch, with its message ID.
    Queue(Vec<(Option<String>, Vec<Alert>)>),
}

impl Work {
    fn alerts(&self) -> impl Iterator<Item = &Alert> {
        let (together, queued) = match self {
            Self::Together(alerts) => (alerts.as_slice(), [].as_slice()),
            Self::Queue(items) => ([].as_slice(), items.as_slice()),
        };
        together.iter().chain(queued.iter().flat_map(|(_, alerts)| alerts))
    }
}

/// All records of one invocation.
enum Answer {
    Together(Vec<Record>),
    /// By item of an SQS batch, with its message ID.
    Queue(Vec<(Option<String>, Vec<Record>)>),
}

impl Answer {
    fn records(&self) -> Vec<&Record> {
        match self {
            Self::Together(records) => records.iter().collect(),
            Self::Queue(answers) => answers.iter().flat_map(|(_, records)| records).collect(),
        }
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
fn batch(answers: Vec<(Option<String>, Vec<Record>)>) -> Result<Response, InvocationError> {
    let mut response = SqsBatchResponse::default();
    for (id, records) in answers {
        let Err(error) = judge(records) else { continue };
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id.ok_or(error)?;
        response.batch_item_failures.push(failure);
    }
    Ok(Response::Batch(response))
}
