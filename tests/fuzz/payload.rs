//! Arbitrary bytes as a payload -> checked alerts. The parsing modules must not panic, must not drop a message, and
//! must not expose a key that is not literally in the payload.
//!
//! Only the parsing modules are compiled, by their paths, because the Lightsail SDK of the whole crate would take an
//! hour under the fuzzer's instrumentation and is not needed. `tests/integration/alerts` has the properties that depend on the
//! generated keys. This target checks those of every payload, and finds payloads that no generator makes.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;

// The inline module sets the directory in which `alert` finds its files. The sources name each other from the root of
// the crate.
#[path = "../../src"]
#[expect(dead_code, unreachable_pub, reason = "the stages that use the rest are not compiled here")]
mod reading {
    pub mod alert;
    pub mod names;
    pub mod safe_text;
}
use reading::{alert, names, safe_text};

#[path = "../integration/alerts/held.rs"]
mod held;

use alert::envelope::{Delivery, Message};
use names::AccessKeyId;

/// Default of MAX_KEYS_PER_ALERT.
const MAX_KEYS: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    let payload = String::from_utf8_lossy(bytes);
    match alert::envelope::open(&payload) {
        Delivery::Together(messages) => check(&payload, &messages),
        Delivery::Queue(items) => {
            assert!(!items.is_empty(), "batch without items");
            items.iter().for_each(|item| check(&payload, &item.messages));
        }
    }
});

/// Checks the alerts of messages that are parsed together.
fn check(payload: &str, messages: &[Message]) {
    assert!(!messages.is_empty(), "delivery without a message, so there would be no record");
    let alerts = alert::read(messages, MAX_KEYS, None);
    assert!(!alerts.is_empty(), "delivery without an alert, so there would be no record");
    let mut keys = HashSet::new();
    for alert in &alerts {
        let line = serde_json::to_string(&alert.origin).expect("the origin is serialisable");
        assert!(!line.contains(['\r', '\n', '\u{1b}', '\u{2028}', '\u{2029}']), "more than one line: {line}");
        match &alert.exposures {
            Ok(exposures) => {
                assert!(!exposures.is_empty(), "alert with neither a key nor a reason");
                for exposure in exposures {
                    let key = exposure.key.as_str();
                    assert_eq!(key.parse::<AccessKeyId>().as_ref(), Ok(&exposure.key), "malformed key");
                    assert!(keys.insert(key), "key exposed twice");
                    assert!(held::holds(payload, key), "key is not in the payload: {key}");
                }
            }
            Err(reason) => {
                let line = format!("{reason} {reason:?}");
                assert!(!line.contains(['\r', '\n', '\u{1b}', '\u{2028}', '\u{2029}']), "more than one line: {line}");
            }
        }
    }
    assert!(keys.len() <= MAX_KEYS, "more keys than MAX_KEYS_PER_ALERT");
}
