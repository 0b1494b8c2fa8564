//! The closed list of outcomes, and what each means to Lambda, to OCSF and to the log.
//!
//! Invariant: an outcome is a success to Lambda only if this function looked and no live Lightsail bucket key with this
//! ID remains, if the alert exposes no such key, or in a dry run. Every other outcome is an error, so that Lambda's
//! retries, failure queue and alarms work.

use std::fmt;

use lambda_runtime::Diagnostic;

/// Result of the work on one key, or on an event without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// AWS accepted the delete, the operation succeeded, and the key is gone: it was seen on that bucket before and is
    /// not listed now, or a complete search does not find it.
    Revoked,
    /// The key is not on the named bucket, and a complete search found it on no other.
    AlreadyAbsent,
    /// The alert names no existing bucket, and a complete search found the key on none: it was deleted before, or it is
    /// another kind of credential.
    NotLightsailKey,
    /// The alert exposes no bucket key. The record has the reason.
    Ignored,
    /// The key was found and not deleted, because `RESPONDER_MODE` or a manual event asks for a dry run.
    DryRun,
    /// The event has no known shape, or no key could be parsed from it.
    Unreadable,
    /// The owner is an account that this function may not act in, or a complete search did not see the key and the
    /// finding names such an account.
    WrongAccount,
    /// The operator's policy forbids the delete, or a person asked for it and the finding contradicts. Nothing was
    /// deleted, and an operator must decide.
    Protected,
    /// The key was not found, but some account, Region or bucket could not be read.
    SearchIncomplete,
    /// AWS accepted the delete, but the key is not confirmed gone.
    Unconfirmed,
    /// AWS refused or throttled a call, was unreachable, or reported that the operation failed. Also a panic.
    Failed,
}

/// All outcomes, from best to worst. The worst record of an invocation decides its result.
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

/// OCSF `status_id` and its caption. For 99 the caption is the source's own text (OCSF 1.8, Remediation Activity).
type OcsfStatus = (u8, &'static str);

impl Outcome {
    /// Returns OCSF `status_code`: the name of the outcome in records, metrics and documentation.
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

    /// Returns OCSF `status_id` and `status`.
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

    /// Returns OCSF `severity_id`: 1 Informational, 4 High, 5 Critical. High means that a credential was destroyed, or
    /// that a person must look.
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

    /// Returns the `errorType` that Lambda reports. None for a success. These names are an interface.
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

    /// Returns OCSF `remediation.desc`: the next step for a person who has no other information.
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

    /// Returns the level of the record's log line. It is never below `WARN`, because with JSON logging Lambda drops
    /// lines below the function's `ApplicationLogLevel` (Lambda guide, "Log-level filtering").
    pub fn log_level(self) -> &'static str {
        if self.error_type().is_some() { "ERROR" } else { "WARN" }
    }
}

/// Error response to Lambda, for an invocation with at least one record that is an error.
pub struct InvocationError {
    /// `errorType` of the worst record. See [`Outcome::error_type`].
    pub error_type: &'static str,
    /// Messages of the records that are errors.
    pub message: String,
}

/// Written by hand, because `lambda_runtime` logs a returned error by its `Debug`.
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
    fn outcomes_are_ordered_with_unique_codes() {
        assert!(ALL.is_sorted());
        let codes: std::collections::BTreeSet<_> = ALL.iter().map(|outcome| outcome.code()).collect();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn error_outcomes_rank_worse_than_successes() {
        let first_error = ALL.iter().position(|outcome| outcome.error_type().is_some()).unwrap();
        assert!(ALL[first_error..].iter().all(|outcome| outcome.error_type().is_some()));
        assert!(ALL.iter().all(|outcome| matches!(outcome.log_level(), "WARN" | "ERROR")));
    }
}
