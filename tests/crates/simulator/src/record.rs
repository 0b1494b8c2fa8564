//! What Lightsail remembers of a call that changed something: turns a [`Record`] into the
//! `Operation` shape of botocore's model, as it stands after so many polls.
//!
//! Time plays no part in whether a record is done. Only `GetOperation` moves it on, so that a
//! test sees the same course however slow its machine is.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    clock,
    fault::{Fault, Member},
    operation::Operation,
    timestamp::epoch_seconds,
};

/// One operation in the making.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: String,
    operation: Operation,
    bucket: String,
    region: String,
    details: Option<String>,
    created_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    polls: u32,
    done_at_poll: u32,
    failure: Option<Failure>,
    status: Member<String>,
    is_terminal: Member<bool>,
}

#[derive(Clone, Debug)]
struct Failure {
    code: String,
    details: String,
}

impl Record {
    /// A record of `operation` on `bucket`, with what a script wants of it. `details` is the key
    /// id where there is one.
    pub(crate) fn new(
        id: String,
        operation: Operation,
        (bucket, region): (&str, &str),
        details: Option<String>,
        done_at_poll: u32,
        fault: Option<&Fault>,
    ) -> Self {
        let now = clock::now();
        let mut record = Self {
            id,
            operation,
            bucket: bucket.to_owned(),
            region: region.to_owned(),
            details,
            created_at: now,
            changed_at: now,
            polls: 0,
            done_at_poll,
            failure: None,
            status: Member::AsIs,
            is_terminal: Member::AsIs,
        };
        match fault {
            Some(Fault::OperationPending { polls }) => record.done_at_poll = polls.saturating_add(1),
            Some(Fault::OperationFailed { code, details, .. }) => {
                record.failure = Some(Failure {
                    code: code.clone().unwrap_or_else(|| "InternalError".to_owned()),
                    details: details.clone().unwrap_or_else(|| "The operation could not be completed.".to_owned()),
                });
            }
            Some(Fault::OperationStatus { status, is_terminal }) => {
                record.status = status.clone();
                record.is_terminal = is_terminal.clone();
            }
            _ => {}
        }
        record
    }

    /// One `GetOperation` more.
    pub(crate) fn poll(&mut self) {
        self.polls = self.polls.saturating_add(1);
        if self.polls == self.done_at_poll {
            self.changed_at = clock::now();
        }
    }

    /// The `Operation` shape. `errorCode` and `errorDetails` are there only when it failed.
    pub(crate) fn wire(&self) -> Value {
        let done = self.polls >= self.done_at_poll;
        let failure = self.failure.as_ref().filter(|_| done);
        let status = match (done, failure) {
            (false, _) => "Started",
            (true, None) => "Succeeded",
            (true, Some(_)) => "Failed",
        };
        let mut wire = json!({
            "id": self.id,
            "resourceName": self.bucket,
            "resourceType": "Bucket",
            "createdAt": epoch_seconds(self.created_at),
            "location": {"availabilityZone": "all", "regionName": self.region},
            "operationType": self.operation,
            "statusChangedAt": epoch_seconds(self.changed_at),
        });
        let mut set = |member: &str, value: Option<Value>| {
            if let Some(value) = value {
                wire[member] = value;
            }
        };
        set("isTerminal", self.is_terminal.over(done).map(Value::from));
        set("status", self.status.over(status.to_owned()).map(Value::from));
        set("operationDetails", self.details.clone().map(Value::from));
        set("errorCode", failure.map(|failure| failure.code.clone().into()));
        set("errorDetails", failure.map(|failure| failure.details.clone().into()));
        wire
    }
}
