//! Lambda payload -> [`Delivery`]: the messages of one invocation without their wrappers. It neither calls AWS nor
//! parses the alerts.
//!
//! An alert comes bare, in an EventBridge event, in an SNS notification, in an SQS message, or in several of these. The
//! payload arrives as text, so that a payload that is not JSON or is nested too deep still leaves a record. Invariants:
//! no message is dropped. An error never repeats the payload, because an alert of a scanner can hold a secret.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{key_text, text};

/// All messages of one invocation.
#[derive(Debug)]
pub enum Delivery {
    /// One message, or several with a common response.
    Together(Vec<Message>),
    /// An SQS batch, with a response for each item.
    Queue(Vec<Item>),
}

/// An item of an SQS batch.
#[derive(Debug)]
pub struct Item {
    /// The `messageId`. Without it, only the whole batch can be refused.
    pub id: Option<String>,
    /// Number of deliveries by SQS so far, this one included (SQS API reference, `ApproximateReceiveCount`).
    pub receive_count: Option<u32>,
    /// Messages in the body, at least one.
    pub messages: Vec<Message>,
}

/// A possible alert.
#[derive(Debug)]
pub struct Message {
    /// The alert in its envelope, or the reason why there is none.
    pub opened: Result<Envelope, EnvelopeError>,
    /// True if the message came by a queue or topic. These also carry messages of other systems, which are not errors.
    pub relayed: bool,
    /// True if text in a message without an alert is a key ID. Such a message is never another system's.
    pub holds_key: bool,
    /// Number of equal messages that this one stands for.
    pub count: usize,
}

/// The envelope of an alert.
#[derive(Debug)]
pub enum Envelope {
    /// An EventBridge event.
    EventBridge {
        /// The event without its `time`.
        event: Box<EventBridgeEvent<Value>>,
        /// The `time` of the event. A malformed time is dropped, because it is no reason to leave a key alive.
        time: Option<DateTime<Utc>>,
    },
    /// A bare JSON object: a manual event, the body of a webhook, or the `detail` that an `InputPath` selected.
    Bare(Value),
}

/// Reason why a message holds no alert. Caused by the sender. Nothing has been sent to AWS.
#[derive(Clone, Debug, Error, PartialEq, Eq, Hash)]
pub enum EnvelopeError {
    /// Not JSON, or nested deeper than 128 levels.
    #[error("the event is not readable JSON: {fault} at line {line}, column {column}; accepted: {ACCEPTED}")]
    NotJson {
        /// Kind of syntax error.
        fault: &'static str,
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
        /// True if the text begins like JSON, so that it is a damaged event.
        cut_short: bool,
    },
    /// JSON, but not an object.
    #[error("the event is {kind}, not a JSON object; accepted: {ACCEPTED}")]
    NotAnObject {
        /// Its JSON type.
        kind: &'static str,
    },
    /// An object with a `detail-type`, in which a field that EventBridge always sends is missing or has the wrong type.
    #[error(
        "the event has a detail-type, but is not an EventBridge event: {field} is missing or of the wrong type; accepted: {ACCEPTED}"
    )]
    NotEventBridge {
        /// Name of that field.
        field: &'static str,
    },
    /// A record of SQS or SNS without text.
    #[error("the record has no {field}; accepted: {ACCEPTED}")]
    NoText {
        /// Field that should hold the text.
        field: &'static str,
    },
    /// An empty list.
    #[error("the event holds no record at all; accepted: {ACCEPTED}")]
    Empty,
    /// SNS's own message about a subscription.
    #[error("SNS asks to confirm or end a subscription")]
    Subscription,
    /// More nested envelopes than AWS makes.
    #[error("the event is wrapped more than {MAX_DEPTH} times")]
    TooDeep,
}

impl EnvelopeError {
    /// Tests for text that begins like an event, and so is a damaged event on a queue too.
    pub(super) fn is_damaged(&self) -> bool {
        matches!(self, Self::NotJson { cut_short: true, .. })
    }
}

/// Accepted payloads, for the error texts.
pub const ACCEPTED: &str = "an object {\"accessKeyId\", \"bucketName\", \"region\", \"reason\"}; an EventBridge event of \
     GuardDuty, Health, Trusted Advisor, Security Hub, or of detail-type \"Lightsail Bucket Access Key Exposed\"; an alert of \
     GitHub secret scanning or TruffleHog; each also by SNS or SQS";

/// Limit of nested envelopes. An SNS notification in an SQS message makes two, a list around them three, and every
/// further encoding of JSON as a JSON string one more.
pub(super) const MAX_DEPTH: usize = 8;

/// Opens the payload of one invocation. Every delivery and every item has at least one message.
pub fn open(payload: &str) -> Delivery {
    let mut opened = Opened::default();
    match parse(payload) {
        Ok(mut values) => {
            if let [Value::Object(fields)] = values.as_mut_slice()
                && let Some(records) = take_records(fields, is_sqs)
            {
                return Delivery::Queue(records.into_iter().map(item).collect());
            }
            values.into_iter().for_each(|value| opened.open_value(value, false, MAX_DEPTH));
        }
        Err(error) => opened.refuse(error, false, false),
    }
    Delivery::Together(opened.messages)
}

/// Names the JSON type of a value.
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

/// Tests for a record of SQS, which writes `eventSource` (Lambda guide, "Using Lambda with Amazon SQS").
fn is_sqs(record: &Value) -> bool {
    text(record, "/eventSource") == Some("aws:sqs")
}

/// Tests for a record of SNS, which writes `EventSource` (Lambda guide, "Using Lambda with Amazon SNS").
fn is_sns(record: &Value) -> bool {
    text(record, "/EventSource") == Some("aws:sns")
}

/// Takes the records out of a batch, if at least one of them is a record of that service.
fn take_records(fields: &mut Map<String, Value>, is_record: fn(&Value) -> bool) -> Option<Vec<Value>> {
    let records = fields.get_mut("Records")?.as_array_mut()?;
    records.iter().any(is_record).then(|| std::mem::take(records))
}

fn item(record: Value) -> Item {
    let id = text(&record, "/messageId").map(str::to_owned);
    let receive_count = text(&record, "/attributes/ApproximateReceiveCount").and_then(|count| count.parse().ok());
    let mut opened = Opened::default();
    opened.open_value(record, true, MAX_DEPTH);
    Item { id, receive_count, messages: opened.messages }
}

/// Messages of one delivery or item, in their order.
#[derive(Default)]
struct Opened {
    messages: Vec<Message>,
    /// Place of each kind of message without an alert: a text can have a hundred thousand equal ones.
    refused: HashMap<(EnvelopeError, bool, bool), usize>,
}

impl Opened {
    fn push(&mut self, envelope: Envelope, relayed: bool) {
        if let Envelope::Bare(value) = &envelope
            && let Some(last) = self.messages.last_mut()
            && matches!(&last.opened, Ok(Envelope::Bare(before)) if before == value && last.relayed == relayed)
        {
            last.count += 1;
            return;
        }
        self.messages.push(Message { opened: Ok(envelope), relayed, holds_key: false, count: 1 });
    }

    fn refuse(&mut self, error: EnvelopeError, relayed: bool, holds_key: bool) {
        match self.refused.entry((error, relayed, holds_key)) {
            Entry::Occupied(place) => self.messages[*place.get()].count += 1,
            Entry::Vacant(place) => {
                let opened = Err(place.key().0.clone());
                place.insert(self.messages.len());
                self.messages.push(Message { opened, relayed, holds_key, count: 1 });
            }
        }
    }

    fn refuse_value(&mut self, error: EnvelopeError, relayed: bool, value: &Value) {
        self.refuse(error, relayed, key_text::in_value(value).is_some());
    }

    /// Opens JSON text: one value, or several in sequence, as TruffleHog writes them.
    fn open_text(&mut self, text: &str, relayed: bool, depth: usize) {
        match parse(text) {
            Ok(values) => values.into_iter().for_each(|value| self.open_value(value, relayed, depth)),
            Err(error) => self.refuse(error, relayed, key_text::in_text(text).is_some()),
        }
    }

    fn open_value(&mut self, mut value: Value, relayed: bool, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            return self.refuse_value(EnvelopeError::TooDeep, relayed, &value);
        };
        let fields = match value {
            Value::Array(ref values) if values.is_empty() => {
                return self.refuse(EnvelopeError::Empty, relayed, false);
            }
            Value::Array(values) => {
                return values.into_iter().for_each(|value| self.open_value(value, relayed, depth));
            }
            Value::String(text) => return self.open_string(&text, relayed, depth),
            Value::Object(ref mut fields) => fields,
            other => return self.refuse(EnvelopeError::NotAnObject { kind: kind(&other) }, relayed, false),
        };
        if let Some(records) = take_records(fields, |record| is_sqs(record) || is_sns(record)) {
            return records.into_iter().for_each(|record| self.open_value(record, true, depth));
        }
        let topic = fields.contains_key("TopicArn");
        if fields.contains_key("detail-type") {
            return match open_event(fields, depth) {
                Ok(envelope) => self.push(envelope, relayed),
                Err(error) => self.refuse_value(error, relayed, &value),
            };
        }
        if is_sqs(&value) {
            return self.open_inner(value, "/body", "body", depth);
        }
        if is_sns(&value) {
            return self.open_inner(value, "/Sns/Message", "Sns.Message", depth);
        }
        match text(&value, "/Type").filter(|_| topic) {
            // SNS puts this into a queue without raw delivery (SNS guide, "HTTP/HTTPS notification JSON format").
            Some("Notification") => self.open_inner(value, "/Message", "Message", depth),
            Some(_) => self.refuse_value(EnvelopeError::Subscription, true, &value),
            None => self.push(Envelope::Bare(value), relayed),
        }
    }

    /// Opens a JSON string, which is JSON that was encoded twice, or no alert.
    fn open_string(&mut self, text: &str, relayed: bool, depth: usize) {
        let is_json = text.trim_start().starts_with(['{', '[', '"']);
        match if is_json { parse(text) } else { Err(NOT_AN_OBJECT) } {
            Ok(values) => values.into_iter().for_each(|value| self.open_value(value, relayed, depth)),
            Err(error) => {
                let error = if error.is_damaged() { error } else { NOT_AN_OBJECT };
                self.refuse(error, relayed, key_text::in_text(text).is_some());
            }
        }
    }

    /// Opens the message in a record. AWS writes it as text. Tools that decode it write an object or array.
    fn open_inner(&mut self, mut record: Value, pointer: &str, field: &'static str, depth: usize) {
        match record.pointer_mut(pointer).map(Value::take) {
            Some(Value::String(text)) => self.open_text(&text, true, depth),
            Some(inner @ (Value::Object(_) | Value::Array(_))) => self.open_value(inner, true, depth),
            _ => self.refuse_value(EnvelopeError::NoText { field }, true, &record),
        }
    }
}

const NOT_AN_OBJECT: EnvelopeError = EnvelopeError::NotAnObject { kind: "a string" };

fn is_cut_short(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('{') || text.starts_with("[{")
}

/// Takes an event out of `fields`, or leaves them as they are if it is none.
fn open_event(fields: &mut Map<String, Value>, depth: usize) -> Result<Envelope, EnvelopeError> {
    // Some tools forward an event with its detail as text.
    if let Some(detail @ Value::String(_)) = fields.get("detail")
        && let Some(detail) = decoded(detail, depth)
    {
        fields.insert("detail".to_owned(), detail);
    }
    for (field, required, fits) in FIELDS {
        match fields.get(field) {
            None if required => return Err(EnvelopeError::NotEventBridge { field }),
            Some(value) if required && !fits(value) => return Err(EnvelopeError::NotEventBridge { field }),
            // An optional field only describes the alert, so a malformed one is dropped and the alert kept.
            Some(value) if !fits(value) => fields.remove(field),
            _ => continue,
        };
    }
    let mut fields = std::mem::take(fields);
    let time = fields.remove("time").and_then(|time| time.as_str()?.parse().ok());
    // The detail stays out of the deserialisation, because it can be large and would be copied.
    let detail = fields.insert("detail".to_owned(), Value::Null).unwrap_or_default();
    let mut event: EventBridgeEvent<Value> = serde_json::from_value(Value::Object(fields))
        .map_err(|_| EnvelopeError::NotEventBridge { field: "a field" })?;
    event.detail = detail;
    Ok(Envelope::EventBridge { event: Box::new(event), time })
}

/// Decodes an object that is encoded as a JSON string, once or several times.
fn decoded(value: &Value, depth: usize) -> Option<Value> {
    let inner: Value = serde_json::from_str(value.as_str()?).ok()?;
    if inner.is_object() { Some(inner) } else { decoded(&inner, depth.checked_sub(1)?) }
}

type Fits = fn(&Value) -> bool;

/// Fields of an event: name, whether EventBridge always sends it, and type (EventBridge user guide, "AWS service event
/// metadata"). They are checked here, because an error of serde would quote the value.
const FIELDS: [(&str, bool, Fits); 8] = [
    ("detail-type", true, Value::is_string),
    ("source", true, Value::is_string),
    ("detail", true, Value::is_object),
    ("version", false, Value::is_string),
    ("id", false, Value::is_string),
    ("account", false, Value::is_string),
    ("region", false, Value::is_string),
    ("resources", false, |value| value.as_array().is_some_and(|all| all.iter().all(Value::is_string))),
];

/// Parses the JSON values in `text`, at least one.
fn parse(text: &str) -> Result<Vec<Value>, EnvelopeError> {
    let text = text.trim_start_matches('\u{feff}');
    let fault = |error: serde_json::Error| {
        let fault = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            _ if error.to_string().starts_with("recursion limit") => "it nests more than 128 levels",
            _ => "syntax error",
        };
        EnvelopeError::NotJson { fault, line: error.line(), column: error.column(), cut_short: is_cut_short(text) }
    };
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    // For an empty text, the parser's own error.
    let first = values.next().unwrap_or_else(|| serde_json::from_str(text)).map_err(fault)?;
    let rest = values.collect::<Result<Vec<Value>, _>>().map_err(fault)?;
    Ok(std::iter::once(first).chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const EVENT: &str = r#"{"detail-type": "T", "source": "s", "detail": {"a": 1}}"#;

    fn together(payload: &str) -> Vec<Message> {
        match open(payload) {
            Delivery::Together(messages) => messages,
            Delivery::Queue(_) => panic!("{payload} is a batch"),
        }
    }

    fn queue(payload: &Value) -> Vec<Item> {
        match open(&payload.to_string()) {
            Delivery::Queue(items) => items,
            Delivery::Together(_) => panic!("{payload} is not a batch"),
        }
    }

    fn one(payload: &str) -> Message {
        let mut messages = together(payload);
        assert_eq!(messages.len(), 1, "{payload}");
        messages.remove(0)
    }

    fn is_event(message: &Message) -> bool {
        matches!(&message.opened, Ok(Envelope::EventBridge { event, .. }) if event.detail["a"] == 1)
    }

    #[test]
    fn object_without_detail_type_is_bare() {
        let message = one("{\"accessKeyId\": \"x\"}");
        assert!(matches!(message.opened, Ok(Envelope::Bare(value)) if value["accessKeyId"] == "x"));
        assert!(!message.relayed);
    }

    #[test]
    fn malformed_optional_fields_keep_the_event() {
        let payload = r#"{"detail-type": "T", "source": "s", "detail": {"a": 1}, "time": "yesterday", "id": 7,
                          "resources": [1], "account": null, "region": "us-east-1", "replay-name": "r"}"#;
        let Ok(Envelope::EventBridge { event, time }) = one(payload).opened else { panic!("not an event") };
        assert_eq!((event.detail_type.as_str(), time, event.id, event.resources), ("T", None, None, None));
        assert_eq!(event.region.as_deref(), Some("us-east-1"));
        assert_eq!(event.detail["a"], 1);
    }

    #[test]
    fn event_time_is_parsed() {
        let payload = r#"{"detail-type": "T", "source": "s", "detail": {}, "time": "2026-11-24T03:00:00Z"}"#;
        assert!(matches!(one(payload).opened, Ok(Envelope::EventBridge { time: Some(_), .. })));
    }

    #[test]
    fn detail_as_text_is_parsed() {
        assert!(is_event(&one(r#"{"detail-type": "T", "source": "s", "detail": "{\"a\": 1}"}"#)));
    }

    #[test]
    fn event_is_taken_out_of_every_wrapper() {
        let notification = json!({"Type": "Notification", "TopicArn": "t", "Message": EVENT}).to_string();
        let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": EVENT}}]}).to_string();
        let array = format!("[{EVENT}]");
        for payload in [&notification, &sns] {
            let message = one(payload);
            assert!(is_event(&message) && message.relayed, "{payload}");
        }
        assert!(is_event(&one(&array)) && is_event(&one(EVENT)) && !one(EVENT).relayed);
        for body in [EVENT, &notification, &sns, &array] {
            let items = queue(&json!({"Records": [{"messageId": "m", "eventSource": "aws:sqs", "body": body}]}));
            assert_eq!(items.len(), 1);
            assert_eq!(items[0].id.as_deref(), Some("m"));
            assert!(is_event(&items[0].messages[0]) && items[0].messages[0].relayed, "{body}");
        }
    }

    #[test]
    fn batch_items_are_independent() {
        let record = |id: Option<&str>, body: Value| json!({"messageId": id, "eventSource": "aws:sqs", "body": body});
        let items = queue(&json!({"Records": [
            record(Some("1"), EVENT.into()), record(Some("2"), "KILL".into()), record(None, "{\"a\":".into()),
            record(Some("4"), Value::Null), record(Some("5"), format!("{EVENT}\n{EVENT}\n").into()),
        ]}));
        let opened = |index: usize| &items[index].messages[0].opened;
        assert!(is_event(&items[0].messages[0]));
        assert!(matches!(opened(1), Err(EnvelopeError::NotJson { cut_short: false, .. })));
        assert!(matches!(opened(2), Err(EnvelopeError::NotJson { cut_short: true, .. })));
        assert!(matches!(opened(3), Err(EnvelopeError::NoText { field: "body" })));
        assert_eq!(items[2].id, None);
        assert_eq!(items[4].messages.iter().filter(|message| is_event(message)).count(), 2);
    }

    #[test]
    fn other_messages_are_kept() {
        for (payload, error) in [
            (json!({"Type": "SubscriptionConfirmation", "TopicArn": "t", "Message": "m"}), EnvelopeError::Subscription),
            (json!([]), EnvelopeError::Empty),
            (json!([[[[[[[[[1]]]]]]]]]), EnvelopeError::TooDeep),
        ] {
            assert_eq!(one(&payload.to_string()).opened.unwrap_err(), error);
        }
        let s3 = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]});
        assert!(matches!(one(&s3.to_string()).opened, Ok(Envelope::Bare(_))));
    }

    #[test]
    fn errors_never_repeat_the_payload() {
        let deep = format!("{}\"wJalrXUtnFEMI\"{}", "[".repeat(200), "]".repeat(200));
        let cases = [
            ("wJalrXUtnFEMI", "syntax error at line 1, column 1"),
            ("", "ends too early"),
            ("{\"a\": \"wJalrXUtnFEMI", "ends too early"),
            (deep.as_str(), "nests more than 128 levels"),
            ("\"wJalrXUtnFEMI\"", "a string, not a JSON object"),
            ("[\"wJalrXUtnFEMI\"]", "a string, not a JSON object"),
            ("null", "null, not a JSON object"),
            ("{\"detail-type\": {\"wJalrXUtnFEMI\": 1}, \"source\": \"s\", \"detail\": {}}", "detail-type is missing"),
            ("{\"detail-type\": \"wJalrXUtnFEMI\", \"detail\": {}}", "source is missing"),
            ("{\"detail-type\": \"T\", \"source\": \"s\", \"detail\": \"wJalrXUtnFEMI\"}", "detail is missing"),
        ];
        for (payload, says) in cases {
            let error = one(payload).opened.unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(says) && text.contains("accepted: an object"), "{payload}: {text}");
            assert!(!text.contains("wJalr"), "{text}");
        }
    }
}
