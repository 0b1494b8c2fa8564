//! The closed list of outcomes: what each means to Lambda, to OCSF, and to the log.
//!
//! Invariant: an outcome that is no error to Lambda means that we looked, and no live Lightsail bucket key with this ID
//! remains, or that the alert exposes none. Everything else is an error, so that Lambda's retries, failure queue and
//! alarms work.

use std::fmt;

use lambda_runtime::Diagnostic;

/// How the work on one key, or on an event without one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// We deleted it, the operation ended well, and a read shows it gone.
    Revoked,
    /// It is not on the bucket that the alert named, and a complete search found it nowhere else.
    AlreadyAbsent,
    /// No bucket of ours was named, and a complete search found no bucket with this key: it is some other credential.
    NotLightsailKey,
    /// The alert exposes no bucket key; the record says why.
    Ignored,
    /// The key was found and would have been deleted, had `RESPONDER_MODE` not been `dry_run`.
    DryRun,
    /// The event is of no known shape, or no key could be read out of it.
    Unreadable,
    /// The alert is about an account that this function may not act in.
    WrongAccount,
    /// The operator's policy forbids it: nothing was deleted, someone must decide.
    Protected,
    /// Some Region or bucket could not be read, so "nowhere" cannot be said.
    SearchIncomplete,
    /// The delete was accepted, but its end or the absence of the key was not seen before the deadline.
    Unconfirmed,
    /// Refused, throttled out, unreachable, or the operation failed.
    Failed,
}

/// Every outcome, from best to worst: an invocation is judged by the worst of its records.
pub const ALL: [Outcome; 11] = [
    Outcome::Revoked,
    Outcome::AlreadyAbsent,
    Outcome::NotLightsailKey,
    Outcome::Ignored,
    Outcome::DryRun,
    Outcome::Unreadable,
    Outcome::WrongAccount,
    Outcome::Protected,
    Outcome::SearchIncomplete,
    Outcome::Unconfirmed,
    Outcome::Failed,
];

/// OCSF `status_id` and its caption; for 99 the caption is the source's own text (OCSF 1.8, Remediation Activity).
type OcsfStatus = (u8, &'static str);

impl Outcome {
    /// OCSF `status_code`: the name of the outcome in records, metrics and documentation.
    pub fn code(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::AlreadyAbsent => "already_absent",
            Self::NotLightsailKey => "not_lightsail_key",
            Self::Ignored => "ignored",
            Self::DryRun => "dry_run",
            Self::Unreadable => "unreadable",
            Self::WrongAccount => "wrong_account",
            Self::Protected => "protected",
            Self::SearchIncomplete => "search_incomplete",
            Self::Unconfirmed => "unconfirmed",
            Self::Failed => "failed",
        }
    }

    /// OCSF `status_id` and `status`.
    pub fn ocsf_status(self) -> OcsfStatus {
        match self {
            Self::Revoked => (1, "Success"),
            Self::Failed => (2, "Failure"),
            Self::AlreadyAbsent => (3, "Does Not Exist"),
            Self::Unconfirmed => (4, "Partial"),
            Self::NotLightsailKey | Self::WrongAccount => (5, "Unsupported"),
            Self::SearchIncomplete | Self::Unreadable => (6, "Error"),
            Self::Ignored => (99, "Ignored"),
            Self::DryRun => (99, "DryRun"),
            Self::Protected => (99, "Protected"),
        }
    }

    /// OCSF `severity_id`: 1 Informational, 4 High, 5 Critical. High: a credential was destroyed, or a person must look.
    pub fn ocsf_severity(self) -> u8 {
        match self {
            Self::Ignored | Self::AlreadyAbsent | Self::DryRun => 1,
            Self::Revoked | Self::NotLightsailKey => 4,
            Self::Unreadable
            | Self::WrongAccount
            | Self::Protected
            | Self::SearchIncomplete
            | Self::Unconfirmed
            | Self::Failed => 5,
        }
    }

    /// The `errorType` that Lambda reports, or none where the invocation succeeds. These names are an interface.
    pub fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Revoked | Self::AlreadyAbsent | Self::NotLightsailKey | Self::Ignored | Self::DryRun => None,
            Self::Unreadable => Some("Responder.Unreadable"),
            Self::WrongAccount => Some("Responder.WrongAccount"),
            Self::Protected => Some("Responder.Protected"),
            Self::SearchIncomplete => Some("Responder.SearchIncomplete"),
            Self::Unconfirmed => Some("Responder.Unconfirmed"),
            Self::Failed => Some("Responder.Failed"),
        }
    }

    /// What a person does next, who is told nothing else: OCSF `remediation.desc`.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::Revoked => {
                "Give whatever used the key a new one, and read the bucket's access logs for what was done with this one."
            }
            Self::AlreadyAbsent => "Nothing. If nobody here deleted it before, look in CloudTrail for who did.",
            Self::NotLightsailKey => {
                "Look for the key in IAM and deactivate it there: it may be live, and this function can do no more."
            }
            Self::Ignored => "Nothing.",
            Self::DryRun => "Decide: delete the key by hand, or deploy with mode enforce and send the alert again.",
            Self::Unreadable => {
                "Read the alert at its source, and delete the key that it names by hand or with a manual event."
            }
            Self::WrongAccount => {
                "Delete the key in that account, or allow this function to act there and send the alert again."
            }
            Self::Protected => "Decide whether the key goes, and if so delete it by hand: the function will not.",
            Self::SearchIncomplete => {
                "Let the function read what it could not and send the alert again, or find and delete the key by hand."
            }
            Self::Unconfirmed => "Send the alert again: the repeat proves whether the key is gone.",
            Self::Failed => "Take the key as live: send the alert again, or delete the key by hand.",
        }
    }

    /// Level of the record's log line. Never below `WARN`: with JSON logging Lambda drops lines below the function's
    /// `ApplicationLogLevel`, and a destroyed credential is never mere `INFO` (Lambda guide, "Log-level filtering").
    pub fn log_level(self) -> &'static str {
        if self.error_type().is_some() { "ERROR" } else { "WARN" }
    }
}

/// What Lambda is told when at least one record of an invocation is an error.
pub struct InvocationError {
    /// The stable `errorType`.
    pub error_type: &'static str,
    /// The messages of the failed records.
    pub message: String,
}

/// `lambda_runtime` logs a returned error by its `Debug`.
impl fmt::Debug for InvocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self { error_type: error.error_type.to_owned(), error_message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_ordered_and_without_repeats() {
        assert!(ALL.is_sorted());
        let codes: std::collections::BTreeSet<_> = ALL.iter().map(|outcome| outcome.code()).collect();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn errors_are_worse_than_everything_that_is_none() {
        let first_error = ALL.iter().position(|outcome| outcome.error_type().is_some()).unwrap();
        assert!(ALL[first_error..].iter().all(|outcome| outcome.error_type().is_some()));
        assert!(ALL.iter().all(|outcome| matches!(outcome.log_level(), "WARN" | "ERROR")));
    }
}
