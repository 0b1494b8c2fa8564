//! Lambda payload -> [`Envelope`]: what the alert came in. No AWS call, no look at the alert itself.
//!
//! The payload arrives as text, so that one which is no JSON, or nests too deep for it, still reaches the handler and
//! leaves a record. Invariant: a refusal never repeats the payload, since a scanner's event can hold a secret.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use thiserror::Error;

/// What the alert came in.
#[derive(Debug)]
pub enum Envelope {
    /// An EventBridge event.
    EventBridge {
        /// The event; `time` has been taken out of it.
        event: Box<EventBridgeEvent<Value>>,
        /// When the event was sent, if its `time` could be read: a wrong clock is no reason to leave a key alive.
        time: Option<DateTime<Utc>>,
    },
    /// A JSON object given to the function directly.
    Direct(Map<String, Value>),
}

/// Why a payload holds no alert at all. Caused by the sender; nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// Not JSON, or nested deeper than 128 levels.
    #[error("the event is not readable JSON: {fault} at line {line}, column {column}; accepted: {ACCEPTED}")]
    NotJson {
        /// The kind of fault.
        fault: &'static str,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the event is {kind}, not a JSON object; accepted: {ACCEPTED}")]
    NotAnObject {
        /// What it is instead.
        kind: &'static str,
    },
    /// Has a member `detail-type`, yet one of the members that EventBridge always sends is missing or of another type.
    #[error(
        "the event has a detail-type, but is not an EventBridge event: {member} is missing or of the wrong type; accepted: {ACCEPTED}"
    )]
    NotEventBridge {
        /// The member at fault.
        member: &'static str,
    },
}

/// What this version reads, for every error that must say so.
pub const ACCEPTED: &str = "an object {\"accessKeyId\", \"bucketName\", \"region\", \"reason\"}, a \"GuardDuty Finding\" from \
     EventBridge, or an EventBridge event of detail-type \"Lightsail Bucket Access Key Exposed\"";

/// Opens the payload of one invocation.
pub fn open(payload: &str) -> Result<Envelope, EnvelopeError> {
    let value = serde_json::from_str(payload).map_err(not_json)?;
    match value {
        Value::Object(members) if members.contains_key("detail-type") => open_event(members),
        Value::Object(members) => Ok(Envelope::Direct(members)),
        other => Err(EnvelopeError::NotAnObject { kind: kind(&other) }),
    }
}

/// What a JSON value is, in words, without the value.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn open_event(mut members: Map<String, Value>) -> Result<Envelope, EnvelopeError> {
    for (member, required, fits) in MEMBERS {
        match members.get(member) {
            None if required => return Err(EnvelopeError::NotEventBridge { member }),
            Some(value) if required && !fits(value) => return Err(EnvelopeError::NotEventBridge { member }),
            // Optional members only describe the alert. One that is malformed is dropped, not the alert.
            Some(value) if !fits(value) => members.remove(member),
            _ => continue,
        };
    }
    let time = members.remove("time").and_then(|time| time.as_str()?.parse().ok());
    let event = serde_json::from_value(Value::Object(members))
        .map_err(|_| EnvelopeError::NotEventBridge { member: "a member" })?;
    Ok(Envelope::EventBridge { event: Box::new(event), time })
}

type Fits = fn(&Value) -> bool;

/// The members that we use, whether EventBridge always sends them, and their form (EventBridge user guide, "AWS service
/// event metadata"). Checked here because an error of serde's would quote the value.
const MEMBERS: [(&str, bool, Fits); 8] = [
    ("detail-type", true, Value::is_string),
    ("source", true, Value::is_string),
    ("detail", true, Value::is_object),
    ("version", false, Value::is_string),
    ("id", false, Value::is_string),
    ("account", false, Value::is_string),
    ("region", false, Value::is_string),
    ("resources", false, |value| value.as_array().is_some_and(|all| all.iter().all(Value::is_string))),
];

fn not_json(error: serde_json::Error) -> EnvelopeError {
    let fault = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ if error.to_string().starts_with("recursion limit") => "it nests more than 128 levels",
        _ => "syntax error",
    };
    EnvelopeError::NotJson { fault, line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_without_a_detail_type_is_a_direct_invocation() {
        assert!(matches!(open("{\"accessKeyId\": \"x\"}"), Ok(Envelope::Direct(members)) if members.len() == 1));
    }

    #[test]
    fn an_event_is_read_even_when_what_only_describes_it_is_malformed() {
        let payload = r#"{"detail-type": "T", "source": "s", "detail": {"a": 1}, "time": "yesterday", "id": 7,
                          "resources": [1], "account": null, "region": "us-east-1", "replay-name": "r"}"#;
        let Ok(Envelope::EventBridge { event, time }) = open(payload) else { panic!("not read") };
        assert_eq!((event.detail_type.as_str(), time, event.id, event.resources), ("T", None, None, None));
        assert_eq!(event.region.as_deref(), Some("us-east-1"));
        assert_eq!(event.detail["a"], 1);
    }

    #[test]
    fn the_time_of_an_event_is_read() {
        let payload = r#"{"detail-type": "T", "source": "s", "detail": {}, "time": "2026-11-24T03:00:00Z"}"#;
        assert!(matches!(open(payload), Ok(Envelope::EventBridge { time: Some(_), .. })));
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_what_is_accepted_and_repeats_nothing() {
        let deep = format!("{}\"wJalrXUtnFEMI\"{}", "[".repeat(200), "]".repeat(200));
        let cases = [
            ("wJalrXUtnFEMI", "syntax error at line 1, column 1"),
            ("", "ends too early"),
            ("{\"a\": \"wJalrXUtnFEMI", "ends too early"),
            (deep.as_str(), "nests more than 128 levels"),
            ("\"wJalrXUtnFEMI\"", "a string, not a JSON object"),
            ("[\"wJalrXUtnFEMI\"]", "an array, not a JSON object"),
            ("null", "null, not a JSON object"),
            ("{\"detail-type\": {\"wJalrXUtnFEMI\": 1}, \"source\": \"s\", \"detail\": {}}", "detail-type is missing"),
            ("{\"detail-type\": \"wJalrXUtnFEMI\", \"detail\": {}}", "source is missing"),
            ("{\"detail-type\": \"T\", \"source\": \"s\", \"detail\": \"wJalrXUtnFEMI\"}", "detail is missing"),
        ];
        for (payload, says) in cases {
            let error = open(payload).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(says) && text.contains("accepted: an object"), "{payload}: {text}");
            assert!(!text.contains("wJalr"), "{text}");
        }
    }
}
