//! Alerts -> the payload of one invocation: wrapped as AWS wraps them, printed in any JSON style, damaged as software
//! can damage them.

use serde_json::{Map, Value, json};

use super::sources::Choices;

/// Style of printing. Every style of a value is the same JSON.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Prints the last field first.
    pub(crate) reversed: bool,
    /// Prints a sixth of the characters of every string as `\uXXXX`. All of them would grow two hundredfold in three
    /// wrappers.
    pub(crate) escaped: bool,
    /// Prints white space in all places that allow it.
    pub(crate) spaced: bool,
}

impl Style {
    pub(crate) fn any(choices: &mut Choices) -> Self {
        Self { reversed: choices.yes(), escaped: choices.below(4) == 3, spaced: choices.yes() }
    }
}

/// Prints `value`, without serde_json because its `Map` has only one order.
pub(crate) fn print(value: &Value, style: Style) -> String {
    let mut text = String::new();
    write(value, style, &mut text);
    text
}

fn write(value: &Value, style: Style, text: &mut String) {
    let space = if style.spaced { " \r\n\t" } else { "" };
    text.push_str(space);
    match value {
        Value::String(string) => quote(string, style, text),
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write(value, style, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            if style.reversed {
                fields.reverse();
            }
            for (index, (field, value)) in fields.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(space);
                quote(field, style, text);
                text.push(':');
                write(value, style, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
    text.push_str(space);
}

fn quote(string: &str, style: Style, text: &mut String) {
    if style.escaped {
        text.push('"');
        for (index, character) in string.chars().enumerate() {
            if index % 6 == 1 || character < ' ' || matches!(character, '"' | '\\') {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    text.push_str("\\u");
                    text.extend(
                        [12, 8, 4, 0].map(|shift| char::from(b"0123456789abcdef"[usize::from(*unit >> shift) & 15])),
                    );
                }
            } else {
                text.push(character);
            }
        }
        text.push('"');
    } else {
        text.push_str(&Value::from(string).to_string());
    }
}

/// Puts alerts into one of their wrappers, and several alerts into one that holds several.
pub(crate) fn wrap(alerts: &[Value], choices: &mut Choices) -> Value {
    let style = Style::any(choices);
    let texts: Vec<String> = alerts.iter().map(|alert| print(alert, style)).collect();
    let lines = texts.join("\n");
    match choices.below(9) {
        0 if alerts.len() == 1 => alerts[0].clone(),
        0 | 1 => Value::Array(alerts.to_vec()),
        2 => json!({"Records": texts.iter().map(|text| sns(text)).collect::<Vec<_>>()}),
        3 => json!({"Records": texts.iter().map(|text| sqs(text)).collect::<Vec<_>>()}),
        4 => {
            let bodies = texts.iter().map(|text| print(&notification(text), style));
            json!({"Records": bodies.map(|body| sqs(&body)).collect::<Vec<_>>()})
        }
        // An EventBridge pipe sends the records without the object around them.
        5 => Value::Array(texts.iter().map(|text| sqs(text)).collect()),
        6 => {
            json!({"Records": [sqs("KILL"), sqs(&lines), sqs(r#"{"Type": "SubscriptionConfirmation", "TopicArn": "t"}"#)]})
        }
        7 => sns(&print(&Value::Array(alerts.to_vec()), style)),
        _ => notification(&lines),
    }
}

fn sns(text: &str) -> Value {
    json!({"EventVersion": "1.0", "EventSource": "aws:sns", "EventSubscriptionArn": "arn:aws:sns:us-east-1:999999999999:t:s",
           "Sns": {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:999999999999:t", "Subject": null,
                   "Message": text, "Timestamp": "2026-11-24T03:00:00Z", "MessageAttributes": {}}})
}

fn sqs(text: &str) -> Value {
    json!({"messageId": "m", "receiptHandle": "r", "body": text, "attributes": {"SentTimestamp": "1795489012174"},
           "messageAttributes": {}, "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:999999999999:q", "awsRegion": "us-east-1"})
}

fn notification(text: &str) -> Value {
    json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:999999999999:t", "Message": text,
           "Timestamp": "2026-11-24T03:00:00Z", "UnsubscribeURL": "https://example.com/"})
}

/// Damages `value` in one to four places, and moves no value into another field.
pub(crate) fn damage(value: &mut Value, choices: &mut Choices, stray: &str) {
    for _ in 0..=choices.below(4) {
        let places = places(value);
        let place = &places[(choices.below(256) * 256 + choices.below(256)) % places.len()];
        let Some(found) = value.pointer_mut(place) else { continue };
        match choices.below(16) {
            0 | 1 => *found = Value::Null,
            2 => *found = json!(7),
            3 => *found = json!(true),
            4 => *found = json!("text"),
            5 => *found = json!([]),
            6 => *found = json!({}),
            7 => *found = json!(1e300),
            8 => *found = (0..=choices.below(160)).fold(found.take(), |inner, _| json!([inner])),
            9 => *found = (0..=choices.below(160)).fold(found.take(), |inner, _| json!({"a": inner})),
            10 => {
                *found = Value::String("\u{1b}[31m\r\n\u{2028}\u{e9}".repeat(if choices.below(32) == 31 {
                    4_000
                } else {
                    1
                }))
            }
            11 => *found = json!([found, found, null]),
            12 => add(found, &format!("x-{stray}"), json!({"resources": [stray], "key": stray})),
            13 => *found = json!(format!("see {stray}: {}", found.as_str().unwrap_or_default())),
            _ => remove(value, &place.clone()),
        }
    }
}

/// Adds unknown fields to objects of `value`.
pub(crate) fn add_unknown_fields(value: &mut Value, choices: &mut Choices, stray: &str) {
    for place in places(value) {
        if choices.below(3) == 0
            && let Some(found) = value.pointer_mut(&place)
        {
            let addition = [json!(null), json!(stray), json!({"a": [stray]}), json!([[[[1e300]]]])];
            add(found, "x-unknown", addition[choices.below(4)].clone());
            add(found, stray, json!(stray));
        }
    }
}

/// Inserts `text` beside or into one text, or as a field name.
pub(crate) fn insert_text(value: &mut Value, choices: &mut Choices, text: &str) {
    let places = places(value);
    let place = &places[(choices.below(256) * 256 + choices.below(256)) % places.len()];
    let Some(found) = value.pointer_mut(place) else { return };
    if found.is_object() {
        return add(found, text, json!(text));
    }
    let before = found.as_str().unwrap_or_default();
    *found = json!(match choices.below(5) {
        0 => text.to_owned(),
        1 => format!("{before}:{text}"),
        2 => format!("{text} {before}"),
        3 => format!("{} {text} {before}", "x y ".repeat(choices.below(90))),
        _ => json!({"secret": text, "before": before}).to_string(),
    });
}

/// Returns the JSON pointers of `value` and of all values in it.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, place: &str, places: &mut Vec<String>) {
        places.push(place.to_owned());
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    walk(value, &format!("{place}/{}", field.replace('~', "~0").replace('/', "~1")), places);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    walk(value, &format!("{place}/{index}"), places);
                }
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(value, "", &mut places);
    places
}

fn add(value: &mut Value, field: &str, addition: Value) {
    if let Value::Object(fields) = value {
        fields.entry(field).or_insert(addition);
    }
}

fn remove(value: &mut Value, place: &str) {
    let Some((parent, last)) = place.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(Map::remove(fields, &last.replace("~1", "/").replace("~0", "~"))),
        Some(Value::Array(values)) => drop(last.parse().map(|index: usize| values.remove(index))),
        _ => {}
    }
}
