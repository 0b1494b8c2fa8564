//! The spine: one invocation -> records. With `one_key`, the story of each key, the only caller of the stages.
//!
//! Reads from top to bottom as the story of one alert. Facts are gathered beside the stages, so that a stage that fails,
//! runs out of time or panics is on record too. Invariant: every invocation leaves at least one record, every key exactly
//! one, and whatever went wrong with one key does not stop the others.

mod accounts;
pub(crate) mod confirm;
mod key;
pub(crate) mod locate;
mod revoke;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde::Serialize;
use tracing::info_span;

use crate::alert::envelope::{self, Delivery, Message};
use crate::alert::{self, Alert, Exposure, Origin, Unactionable, Unreadable};
use crate::audit::{Audit, Facts, Record};
use crate::aws::{Failure, Settings};
use crate::config::Config;
use crate::deadline::Timeouts;
use crate::invocation::Invocation;
use crate::names::Region;
use crate::outcome::{InvocationError, Outcome};
use crate::policy::{Mode, Policy};
use crate::respond::accounts::Accounts;
use crate::safe_text::SafeText;

/// The function, ready for any number of invocations.
pub struct Responder {
    region: Region,
    regions: Vec<Region>,
    policy: Policy,
    accounts: Accounts,
    timeouts: Timeouts,
    audit: Audit,
    warm: AtomicBool,
}

/// The answer to an invocation that succeeded.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// One record per key, or one for an alert that exposes none.
    Records {
        /// The records.
        records: Vec<Record>,
    },
    /// To an SQS batch: the items that must come again.
    Batch(SqsBatchResponse),
}

impl Responder {
    /// Prepares the function, as far as it can be without an alert: nothing but the question for one address is sent. Within
    /// a Tokio runtime.
    pub fn new(config: &Config, audit: Audit) -> Self {
        let settings = Settings::new(config);
        Self {
            region: config.region.clone(),
            regions: config.regions.clone(),
            policy: config.policy.clone(),
            accounts: Accounts::new(config, &settings),
            timeouts: config.timeouts.clone(),
            audit: audit.with_bus(config, &settings),
            warm: AtomicBool::new(false),
        }
    }

    /// Reads Lambda's context: request ID, ARN of the function, and deadline in epoch milliseconds.
    pub fn invocation(&self, request_id: &str, function_arn: &str, deadline_ms: u64) -> Invocation {
        Invocation::new(request_id, function_arn, deadline_ms, !self.warm.swap(true, Ordering::Relaxed))
    }

    /// Answers one invocation: acts on every key that `payload` exposes, and records each.
    pub async fn respond(&self, payload: &str, invocation: Invocation) -> Result<Response, InvocationError> {
        let answer = match without_panic(|| envelope::open(payload)) {
            Some(Delivery::Together(messages)) => Answer::Together(self.answer(&invocation, &messages).await),
            Some(Delivery::Queue(items)) => {
                // Side by side: an item that waits for AWS must not use up the time of the others.
                let answers = items.into_iter().map(|item| {
                    let invocation = Invocation { message_id: item.id.clone(), ..invocation.clone() };
                    async move { (item.id, self.answer(&invocation, &item.messages).await) }
                });
                Answer::Queue(join_all(answers).await)
            }
            None => Answer::Together(self.answer(&invocation, &[]).await),
        };
        // Last of all: every key is dealt with, and every record is in the log.
        self.audit.publish(&answer.records(), &invocation).await;
        match answer {
            Answer::Together(records) => judge(records),
            Answer::Queue(answers) => batch(answers),
        }
    }

    /// The records of what arrived together. No message at all stands for a payload that could not be opened.
    async fn answer(&self, invocation: &Invocation, messages: &[Message]) -> Vec<Record> {
        let read = without_panic(|| alert::read(messages, self.policy.most_keys)).filter(|alerts| !alerts.is_empty());
        let panicked = || vec![Alert { origin: Origin::default(), exposures: Err(Unreadable::Panicked.into()) }];
        let alerts = read.unwrap_or_else(panicked);
        let records = join_all(alerts.iter().map(|alert| self.alert(invocation, alert))).await;
        records.into_iter().flatten().collect()
    }

    async fn alert(&self, invocation: &Invocation, alert: &Alert) -> Vec<Record> {
        match &alert.exposures {
            Err(why) => vec![self.nothing_to_do(invocation, &alert.origin, why)],
            Ok(exposures) => {
                join_all(exposures.iter().map(|exposure| self.settle(invocation, &alert.origin, exposure))).await
            }
        }
    }

    fn nothing_to_do(&self, invocation: &Invocation, alert: &Origin, why: &Unactionable) -> Record {
        let mut facts = Facts::new(invocation, &self.region, self.policy.mode, alert);
        facts.why = Some(why.to_string());
        let outcome = match why {
            Unactionable::TooMany(_) => Outcome::Protected,
            Unactionable::Ignored(_) => Outcome::Ignored,
            Unactionable::Unreadable(_) => Outcome::Unreadable,
        };
        self.audit.record(&facts, outcome)
    }

    async fn settle(&self, invocation: &Invocation, alert: &Origin, exposure: &Exposure) -> Record {
        let mut facts = Facts::new(invocation, &self.region, self.policy.mode, alert);
        facts.exposure = Some(exposure.clone());
        if exposure.dry_run {
            facts.mode = Mode::DryRun;
        }
        let acted = AssertUnwindSafe(self.act(exposure, &mut facts)).catch_unwind().await;
        let outcome = acted.unwrap_or_else(|_| {
            facts.failure = Some(Failure::panicked(facts.may_be_deleted()));
            Outcome::Failed
        });
        self.audit.record(&facts, outcome)
    }
}

/// All records of one invocation, before it is judged.
enum Answer {
    Together(Vec<Record>),
    /// By item, with its ID.
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

/// Runs the reading of an alert; our own panic there is no reason to leave no record.
fn without_panic<T>(read: impl FnOnce() -> T) -> Option<T> {
    let staged = || {
        let _stage = info_span!("read").entered();
        read()
    };
    std::panic::catch_unwind(AssertUnwindSafe(staged)).ok()
}

/// One failed record makes the invocation an error, so that Lambda tries again; the retry finds the others gone.
fn judge(records: Vec<Record>) -> Result<Response, InvocationError> {
    let worst = records.iter().map(Record::outcome).max();
    let Some(error_type) = worst.and_then(Outcome::error_type) else {
        return Ok(Response::Records { records });
    };
    let failed = records.iter().filter(|record| record.outcome().error_type().is_some());
    let message = failed.map(Record::message).collect::<Vec<_>>().join("\n");
    Err(InvocationError { error_type, message })
}

/// The items that failed, for SQS to deliver again; one without an ID fails the whole batch (Lambda guide, "Handling errors
/// for an SQS event source": the others then come again as well, and find their keys gone).
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
