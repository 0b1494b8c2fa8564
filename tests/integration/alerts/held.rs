//! Payload and key -> true if the key is literally in the payload. The properties and the fuzzer check every exposed
//! key with it. Invariant: it shares no code with the parsers that it checks.

use serde_json::Value;

/// Limit of nested texts, above that of the parsers: eight envelopes, a detail as text in each, and base64 in it.
const MAX_DEPTH: usize = 24;

/// Tests for `key` in the payload, in one of its JSON strings, or in the JSON text or base64 text of such a string.
pub(crate) fn holds(payload: &str, key: &str) -> bool {
    payload.contains(key) || opened(payload, key, MAX_DEPTH)
}

fn opened(text: &str, key: &str, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let values = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter::<Value>();
    values.map_while(Result::ok).any(|value| within(&value, key, depth))
}

fn within(value: &Value, key: &str, depth: usize) -> bool {
    match value {
        Value::String(text) => text.contains(key) || from_base64(text).contains(key) || opened(text, key, depth),
        Value::Array(values) => values.iter().any(|value| within(value, key, depth)),
        Value::Object(fields) => fields.values().any(|value| within(value, key, depth)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Decodes leniently: characters outside the alphabet are skipped.
fn from_base64(text: &str) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for character in text.bytes() {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = ((bits << 6) | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.extend(u8::try_from((bits >> held) & 0xff));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
