//! Rules about keys that the function cannot or must not delete: in a Region that their account has disabled, or on a
//! protected bucket.

use lightsail_simulator::{OptInRegions, SeenRequest, TagDeny};
use serde_json::Value;

use crate::alerts::Named;
use crate::model::is_delete;
use crate::routes::BUCKET;
use crate::world::{Delivery, KeyState};
use crate::{NEW_REGION, OPT_IN_REGION, REGION};

/// Regions that an account must opt in to (AWS Account Management guide, "Enable or disable AWS Regions"), and a new one.
const OPT_IN: [&str; 5] = ["ap-east-1", "ap-southeast-3", "ap-southeast-5", "eu-south-2", NEW_REGION];

/// Returns whether the record of a key names the key's Region as one that the account has not enabled, and may do so.
///
/// This is the only documented success with a live key (design, "Region not enabled"): no credentials of the account
/// work in that Region, so that the function cannot tell whether there are buckets.
pub fn is_told_as_not_enabled(delivery: &Delivery, key: &KeyState, record: &Value) -> bool {
    let place = &key.place;
    let is_place = |told: &Value| told["account"] == place.account && told["region"] == place.region;
    let is_told = not_enabled(record).any(is_place);
    is_told && place.is_disabled(delivery.dialect) && not_enabled(record).all(|told| may_be_told(delivery, told))
}

/// Returns the outcome of each key in a new Region, in an opt-in Region, or on a protected bucket, and which it is.
pub fn outcomes_of_rare_places(delivery: &Delivery) -> Vec<(String, String)> {
    let Delivery { dialect, alert, .. } = delivery;
    let outcome = |named: &Named| {
        let place = &delivery.keys.iter().find(|key| key.id == named.key)?.place;
        let is_disabled = place.is_disabled(*dialect);
        let what = match place.region {
            _ if place.is_protected => format!("protected bucket, Deny {}", dialect.tag_deny.name()),
            NEW_REGION if is_disabled => "disabled new Region".to_owned(),
            NEW_REGION => "new Region".to_owned(),
            OPT_IN_REGION if is_disabled => "disabled Region".to_owned(),
            OPT_IN_REGION => "opt-in Region".to_owned(),
            _ => return None,
        };
        let is_named = alert.names_bucket(place.bucket) || alert.names_region(place.region);
        let what = format!("{what}, {}", if is_named { "named" } else { "not named" });
        Some((what, delivery.record_of(named)["status_code"].as_str().unwrap_or("none").to_owned()))
    };
    delivery.named.iter().filter_map(outcome).collect()
}

/// Rules about Regions that are not enabled and about protected buckets, for the record of one key.
pub(crate) fn reach_rules(
    delivery: &Delivery,
    named: &Named,
    key: &KeyState,
    record: &Value,
    rule: &mut impl FnMut(bool, &str),
) {
    for told in not_enabled(record) {
        rule(may_be_told(delivery, told), "only a disabled Region that the alert does not name is told as not enabled");
    }
    // Another message of the batch, or another delivery, may have deleted the key.
    let alone = !delivery.overlaps && delivery.named.iter().filter(|other| other.key == key.id).count() == 1;
    let is_protected = key.place.is_protected;
    let here = |id: &Option<String>| id.as_deref() == Some(named.key);
    let deletes = || delivery.requests.iter().filter(|seen| is_delete(&seen.operation) && here(&seen.access_key_id));
    let says_protected = record["status_code"] == "protected";
    rule(!says_protected || is_protected, "only a protected bucket is reported as protected");
    let deleted = key.alive_before && !key.alive && alone;
    rule(!says_protected || !deleted, "protected means that nothing was deleted");
    let is_denied = is_protected && delivery.dialect.tag_deny == TagDeny::Evaluated;
    rule(!is_denied || key.alive == key.alive_before, "a Deny that AWS evaluates keeps the key");
    // The delete from a named bucket is sent before any tag is read.
    let tag_is_read_first = is_protected && !delivery.alert.names_bucket(BUCKET);
    rule(!tag_is_read_first || deletes().next().is_none(), "no delete is sent to a protected bucket that was searched");
}

/// Returns whether AWS refuses credentials in the place, the alert does not name it, the function does not run there, and
/// the same account was accepted elsewhere in this delivery.
fn may_be_told(delivery: &Delivery, told: &Value) -> bool {
    let region = told["region"].as_str().unwrap_or_default();
    let refuses = OPT_IN.contains(&region) && delivery.dialect.opt_in_regions == OptInRegions::Disabled;
    let accepted = |seen: &SeenRequest| {
        seen.operation != "AssumeRole" && told["account"] == seen.account.as_str() && seen.status == Some(200)
    };
    refuses
        && region != REGION
        && !delivery.alert.names_region(region)
        && delivery.requests.iter().any(|seen| seen.region != region && accepted(seen))
}

fn not_enabled(record: &Value) -> impl Iterator<Item = &Value> {
    record["unmapped"]["search"]["regions_not_enabled"].as_array().into_iter().flatten()
}
