//! Sample payloads -> changed samples and their parsed alerts, for the tests of the parsers.

use serde_json::Value;

use super::envelope::{Delivery, open};
use super::{Alert, Exposure, Hint, Unactionable};
use crate::names::Region;

/// Key that a sample exposes.
pub(super) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// Second exposed key.
pub(super) const OTHER_KEY: &str = "AKIAI44QH8DHBEXAMPLE";
/// Key in places where no source puts an exposed key.
pub(super) const DECOY: &str = "AKIAAAAAAAAAAAAAAAAA";
/// AWS's example of a secret access key.
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Sets the values at JSON pointers, whose parents must exist.
pub(super) fn changed(mut sample: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, new) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        sample.pointer_mut(parent).unwrap()[field] = new.clone();
    }
    sample
}

/// Parses the payload of one invocation that is not an SQS batch.
pub(super) fn read_payload(payload: &Value) -> Vec<Alert> {
    match open(&payload.to_string()) {
        Delivery::Together(messages) => super::read(&messages, 20, None),
        Delivery::Queue(_) => panic!("{payload} is a batch"),
    }
}

/// Returns the only alert.
pub(super) fn only(mut alerts: Vec<Alert>) -> Alert {
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    alerts.remove(0)
}

/// Returns the exposed keys.
pub(super) fn keys_of(alert: &Alert) -> Vec<&str> {
    alert.exposures.as_ref().unwrap().iter().map(|exposure| exposure.key.as_str()).collect()
}

/// Returns the reason why the alert exposes no key.
pub(super) fn refusal(alert: Alert) -> Unactionable {
    alert.exposures.unwrap_err()
}

/// Builds the exposure of a finding.
pub(super) fn exposure(key: &str, buckets: &[&str], account: &str, region: &str) -> Exposure {
    let region: Region = region.parse().unwrap();
    let hint = |name: &&str| Hint { bucket: name.parse().unwrap(), region: Some(region.clone()) };
    Exposure {
        hints: buckets.iter().map(hint).collect(),
        accounts: vec![account.parse().unwrap()],
        regions: vec![region.clone()],
        ..Exposure::of(key.parse().unwrap())
    }
}

impl Exposure {
    /// The same exposure in a finding of this Region.
    pub(super) fn in_region(mut self, region: &str) -> Self {
        self.regions.push(region.parse().unwrap());
        self
    }
}
