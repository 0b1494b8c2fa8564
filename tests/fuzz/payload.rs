//! Any bytes as a payload -> the reading half of the function, which must not panic, must not drop anything, and must not
//! expose a key that the payload does not literally hold.
//!
//! Only the reading modules are compiled, by their paths: the whole crate brings Lightsail's SDK, which would take an hour
//! under the fuzzer's instrumentation and has no part in reading. `tests/reading` has the properties that need to know what
//! was planted; this asserts what holds of every payload, and looks in the places that no generator thinks of.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;

// An inline module for the sake of its path: `alert` finds its own files below it. The sources name each other from
// the root of the crate.
#[path = "../../src"]
#[expect(dead_code, unreachable_pub, reason = "the stages that use the rest are not compiled here")]
mod reading {
    pub mod alert;
    pub mod names;
    pub mod safe_text;
}
use reading::{alert, names, safe_text};

#[path = "../reading/held.rs"]
mod held;

use alert::envelope::{Delivery, Message};
use names::AccessKeyId;

/// As many keys as may be deleted without a person, by default.
const MOST: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    let payload = String::from_utf8_lossy(bytes);
    match alert::envelope::open(&payload) {
        Delivery::Together(messages) => check(&payload, &messages),
        Delivery::Queue(items) => {
            assert!(!items.is_empty(), "a batch without items");
            items.iter().for_each(|item| check(&payload, &item.messages));
        }
    }
});

/// What holds of all that is read together.
fn check(payload: &str, messages: &[Message]) {
    assert!(!messages.is_empty(), "nothing in the delivery, so nothing would be recorded");
    let alerts = alert::read(messages, MOST);
    assert!(!alerts.is_empty(), "a delivery without an incident, so nothing would be recorded");
    let mut keys = HashSet::new();
    for alert in &alerts {
        let line = serde_json::to_string(&alert.origin).expect("the alert goes into the record");
        assert!(!line.contains(['\r', '\n', '\u{1b}', '\u{2028}', '\u{2029}']), "more than one line: {line}");
        match &alert.exposures {
            Ok(exposures) => {
                assert!(!exposures.is_empty(), "an incident that exposes no key and does not say why");
                for exposure in exposures {
                    let key = exposure.key.as_str();
                    assert_eq!(key.parse::<AccessKeyId>().as_ref(), Ok(&exposure.key), "a key that does not parse");
                    assert!(keys.insert(key), "a key that is exposed twice");
                    assert!(held::holds(payload, key), "a key that is nowhere in the payload: {key}");
                }
            }
            Err(reason) => {
                let line = format!("{reason} {reason:?}");
                assert!(!line.contains(['\r', '\n', '\u{1b}', '\u{2028}', '\u{2029}']), "more than one line: {line}");
            }
        }
    }
    assert!(keys.len() <= MOST, "more keys than may be deleted without a person");
}
