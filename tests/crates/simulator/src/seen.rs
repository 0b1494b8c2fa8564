//! What came in at the front door: one [`SeenRequest`] for each, in order of arrival. A client's
//! order of calls, its retries, its connections and its patience can be read off the list.
//!
//! An entry is there from the moment that its request has been read, so that a request which is
//! never answered is seen too.

use serde::Serialize;
use tokio::time::Instant;

use crate::clock;
use crate::timestamp::rfc3339;

/// A request that reached the simulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SeenRequest {
    /// When it had been read, as RFC 3339 with milliseconds.
    pub at: String,
    /// The same in milliseconds since the simulator started, by a clock that is never set back.
    pub at_ms: u64,
    /// The number of the TCP connection, counted from 1.
    pub connection: u64,
    /// As the target, or the `Action` of a form, names it, even if the simulator does not have
    /// it; empty without one.
    pub operation: String,
    /// The account, empty when the signature was refused.
    pub account: String,
    /// The Region, empty when the signature was refused.
    pub region: String,
    /// `bucketName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// `accessKeyId`, the one to be deleted and not the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// `operationId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// `pageToken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
    /// `RoleArn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// `RoleSessionName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_session_name: Option<String>,
    /// `ExternalId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Which attempt of its call it is, counted from 1, as AWS's SDKs say in `amz-sdk-request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The client's `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The HTTP status of the answer. `None` until it is sent, and for ever if it never is.
    pub status: Option<u16>,
    /// The `kind` of the fault that befell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// All requests since the start, or since the list was cleared.
#[derive(Debug)]
pub(crate) struct SeenLog {
    started: Instant,
    /// How many entries were cleared away, so that a number never means another entry.
    cleared: usize,
    entries: Vec<SeenRequest>,
}

impl SeenLog {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), cleared: 0, entries: Vec::new() }
    }

    /// Enters a request and stamps its time; returns its number.
    pub(crate) fn enter(&mut self, mut request: SeenRequest) -> usize {
        request.at = rfc3339(clock::now());
        request.at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.entries.push(request);
        self.cleared + self.entries.len() - 1
    }

    /// Notes the answer to a request, unless that has been cleared away.
    pub(crate) fn answered(&mut self, number: usize, status: u16) {
        let entry = number.checked_sub(self.cleared).and_then(|index| self.entries.get_mut(index));
        if let Some(entry) = entry {
            entry.status = Some(status);
        }
    }

    pub(crate) fn entries(&self) -> &[SeenRequest] {
        &self.entries
    }

    pub(crate) fn clear(&mut self) {
        self.cleared += self.entries.len();
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_request_that_was_cleared_away_is_noted_nowhere() {
        let mut log = SeenLog::new();
        let blank = SeenRequest {
            at: String::new(),
            at_ms: 0,
            connection: 1,
            operation: String::new(),
            account: String::new(),
            region: String::new(),
            bucket: None,
            access_key_id: None,
            operation_id: None,
            page_token: None,
            role_arn: None,
            role_session_name: None,
            external_id: None,
            attempt: None,
            user_agent: None,
            status: None,
            fault: None,
        };
        let old = log.enter(blank.clone());
        log.clear();
        let new = log.enter(blank);
        log.answered(old, 500);
        assert_eq!(log.entries()[0].status, None);
        log.answered(new, 200);
        assert_eq!(log.entries()[0].status, Some(200));
    }
}
