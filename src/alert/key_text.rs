//! Text of any kind -> the first key ID in it, wherever it is. Decides only whether a message may be another system's:
//! a key that is found here is never deleted.

use serde_json::{Deserializer, Value};

use super::envelope::MAX_DEPTH;
use crate::names::AccessKeyId;

/// Prefix of long-term keys.
const PREFIX: &str = "AKIA";

/// First characters of the base64 of [`PREFIX`].
const PREFIX_IN_BASE64: &str = "QUtJ";

/// Length of a key ID.
const LENGTH: usize = 20;

/// Returns the first key ID in a value: in a text or a field name, at any depth, also in JSON text in it.
pub(super) fn in_value(value: &Value) -> Option<AccessKeyId> {
    in_value_to(value, MAX_DEPTH)
}

/// Returns the first key ID in a text, also in JSON text that escapes its letters.
pub(super) fn in_text(text: &str) -> Option<AccessKeyId> {
    in_text_to(text, MAX_DEPTH)
}

/// Tests for text that can be a key ID in a key field: the prefix of key IDs, or its base64, which old results of
/// TruffleHog have. Without it, no parser exposes a key of this value.
pub(super) fn may_be_in(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(PREFIX) || text.contains(PREFIX_IN_BASE64),
        Value::Array(values) => values.iter().any(may_be_in),
        Value::Object(fields) => fields.values().any(may_be_in),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn in_value_to(value: &Value, depth: usize) -> Option<AccessKeyId> {
    match value {
        Value::String(text) => in_text_to(text, depth),
        Value::Array(values) => values.iter().find_map(|value| in_value_to(value, depth)),
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| in_text_to(name, depth).or_else(|| in_value_to(value, depth)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn in_text_to(text: &str, depth: usize) -> Option<AccessKeyId> {
    // No delimiter is required, because encodings put letters and digits beside a key ID: `%22AKIA...`, `\nAKIA...`.
    let mut ids = text.match_indices(PREFIX).filter_map(|(start, _)| text.get(start..start + LENGTH)?.parse().ok());
    ids.next().or_else(|| {
        // Only an escape can hide a key ID in JSON text.
        let depth = depth.checked_sub(1).filter(|_| text.contains("\\u"))?;
        let values = Deserializer::from_str(text).into_iter::<Value>().map_while(Result::ok);
        values.filter_map(|value| in_value_to(&value, depth)).next()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::KEY;

    #[test]
    fn key_id_is_found_wherever_it_is() {
        for value in [
            json!(KEY),
            json!({KEY: 1}),
            json!([[{"a": format!("x{KEY}y")}]]),
            json!(format!("AKIA {KEY}")),
            json!(format!("\u{e9}AKIA\u{e9}{KEY}")),
            json!("{\"a\": \"\\u0041KIAIOSFODNN7EXAMPLE\"}"),
        ] {
            assert_eq!(in_value(&value).unwrap().as_str(), KEY, "{value}");
            assert_eq!(in_text(&value.to_string()).unwrap().as_str(), KEY, "{value}");
        }
    }

    #[test]
    fn other_text_has_no_key_id() {
        for text in [
            "",
            "AKIA",
            "AKIAIOSFODNN7EXAMPL",
            "ASIAIOSFODNN7EXAMPLE",
            "akiaiosfodnn7example",
            "AKIAIOSFODNN7EXAMPL\u{c9}",
        ] {
            assert_eq!(in_text(text), None, "{text}");
        }
    }
}
