//! Generated payloads -> checked properties of the parsing modules: alerts of every source, in every wrapper, whole and
//! damaged, and arbitrary JSON and text.
//!
//! `sources` generates alerts, `deliveries` wraps, prints and damages them, and `held` looks for a key independently.
//! Examples of single shapes are in the unit tests of the parsers. `corpus` parses published events.

use std::collections::BTreeSet;

use lightsail_key_responder::alert::envelope::{self, Delivery, Message};
use lightsail_key_responder::alert::{self, Alert, Origin, Unactionable};
use lightsail_key_responder::names::AccessKeyId;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

use super::deliveries::{self, Style, print};
use super::held;
use super::sources::{self, Choices, Names};

/// Default of MAX_KEYS_PER_ALERT.
const MAX_KEYS: usize = 20;

/// Seeds of one case: the bytes for the choices, and the letters of the key IDs.
fn seeds() -> impl Strategy<Value = (Vec<u8>, u64)> {
    (prop::collection::vec(any::<u8>(), 0..160), any::<u64>())
}

/// One to three alerts, and the decoys in them.
struct Case {
    choices: Choices,
    alerts: Vec<sources::Alert>,
    decoys: Vec<String>,
    /// Key ID that is in none of the alerts.
    stray: String,
}

impl Case {
    fn new((bytes, seed): (Vec<u8>, u64)) -> Self {
        let (mut choices, mut names) = (Choices::new(bytes), Names::new(seed));
        let alerts = (0..choices.of(&[1, 1, 1, 2, 3])).map(|_| sources::any(&mut choices, &mut names)).collect();
        let stray = names.key();
        names.decoys.push(stray.clone());
        Self { choices, alerts, decoys: names.decoys, stray }
    }

    fn damaged(mut self) -> Self {
        for alert in &mut self.alerts {
            deliveries::damage(&mut alert.payload, &mut self.choices, &self.stray);
        }
        self
    }

    fn payload(&mut self) -> String {
        let alerts: Vec<Value> = self.alerts.iter().map(|alert| alert.payload.clone()).collect();
        let style = Style::any(&mut self.choices);
        print(&deliveries::wrap(&alerts, &mut self.choices), style)
    }

    fn keys(&self) -> BTreeSet<String> {
        self.alerts.iter().flat_map(|alert| alert.keys.iter().cloned()).collect()
    }
}

/// Groups the messages that are parsed together: all of them, or those of each SQS item.
fn groups(payload: &str) -> Vec<Vec<Message>> {
    match envelope::open(payload) {
        Delivery::Together(messages) => vec![messages],
        Delivery::Queue(items) => items.into_iter().map(|item| item.messages).collect(),
    }
}

fn read(payload: &str) -> Vec<Alert> {
    groups(payload).iter().flat_map(|messages| alert::read(messages, MAX_KEYS, None)).collect()
}

/// Comparable form of an exposure: key, buckets, accounts, Regions.
type Found = (String, BTreeSet<String>, Vec<String>, Vec<String>);

fn found(payload: &str) -> BTreeSet<Found> {
    let alerts = read(payload);
    let exposures = alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten();
    exposures
        .map(|exposure| {
            let buckets = exposure.hints.iter().map(|hint| hint.bucket.to_string()).collect();
            let accounts = exposure.owner.iter().chain(&exposure.accounts).map(ToString::to_string).collect();
            (exposure.key.to_string(), buckets, accounts, exposure.regions.iter().map(ToString::to_string).collect())
        })
        .collect()
}

fn exposed(payload: &str) -> BTreeSet<String> {
    found(payload).into_iter().map(|(key, ..)| key).collect()
}

/// Checks the properties that hold for every payload.
fn check_any_payload(payload: &str) -> Result<(), TestCaseError> {
    let groups = groups(payload);
    prop_assert!(!groups.is_empty(), "empty delivery");
    for messages in &groups {
        prop_assert!(!messages.is_empty(), "delivery or item without a message");
        let together = alert::read(messages, usize::MAX, None);
        prop_assert!(!together.is_empty(), "delivery or item without an alert");
        let keys = |alerts: &[Alert]| -> Vec<AccessKeyId> {
            let exposures = alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten();
            exposures.map(|exposure| exposure.key.clone()).collect()
        };
        let named = keys(&together);
        for key in &named {
            prop_assert_eq!(&key.as_str().parse::<AccessKeyId>().unwrap(), key);
            prop_assert!(held::holds(payload, key.as_str()), "{} is not in the payload", key);
        }
        let distinct: BTreeSet<&AccessKeyId> = named.iter().collect();
        prop_assert_eq!(distinct.len(), named.len(), "key exposed twice");

        // Parsing messages together loses nothing: each has an alert, or its keys are in the alert of another message.
        let mut unactionable = 0;
        for message in messages {
            let alone = alert::read(std::slice::from_ref(message), usize::MAX, None);
            prop_assert!(!alone.is_empty(), "message without an alert");
            prop_assert!(keys(&alone).iter().all(|key| distinct.contains(key)), "key lost in the merge");
            unactionable += counted(&alone);
        }
        prop_assert_eq!(counted(&together), unactionable);
        for alert in &together {
            prop_assert!(alert.exposures.as_ref().map_or(true, |exposures| !exposures.is_empty()));
            prop_assert!(!output(alert).contains(['\r', '\n', '\u{1b}', '\u{2028}', '\u{2029}']), "more than one line");
        }

        // The limit stops all keys or none.
        for most in [1, MAX_KEYS] {
            let limited = alert::read(messages, most, None);
            let too_many = limited.iter().filter(|one| matches!(one.exposures, Err(Unactionable::TooMany(_)))).count();
            if named.len() > most {
                prop_assert_eq!((limited.len(), too_many), (1, 1));
            } else {
                prop_assert_eq!((limited.len(), too_many), (together.len(), 0));
            }
        }
    }
    Ok(())
}

/// Returns the number of alerts without a key. Equal ones of a message are one that counts them.
fn counted(alerts: &[Alert]) -> usize {
    alerts.iter().filter_map(|alert| alert.exposures.as_ref().err()).map(Unactionable::alerts).sum()
}

/// Returns all text of an alert that can leave the function: the origin goes into the record, and the reason into
/// record, log and error.
fn output(alert: &Alert) -> String {
    let reason = alert.exposures.as_ref().err().map(|reason| format!("{reason} {reason:?}")).unwrap_or_default();
    format!("{:?} {} {reason}", alert.origin, serde_json::to_string(&alert.origin).unwrap())
}

fn check_other_styles(payload: &str) -> Result<(), TestCaseError> {
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(payload).into_iter().collect::<Result<_, _>>().unwrap_or_default();
    if values.is_empty() {
        return Ok(());
    }
    let before = found(payload);
    for (escaped, spaced) in [(false, false), (true, true)] {
        let style = Style { reversed: true, escaped, spaced };
        let printed: Vec<String> = values.iter().map(|value| print(value, style)).collect();
        prop_assert_eq!(&found(&printed.join("\n")), &before, "{:?}", style);
    }
    Ok(())
}

/// Generates any JSON, with words that the parsers look for.
fn json() -> impl Strategy<Value = Value> {
    const WORDS: [&str; 48] = [
        "Records",
        "eventSource",
        "aws:sqs",
        "EventSource",
        "aws:sns",
        "body",
        "Sns",
        "Message",
        "Type",
        "TopicArn",
        "detail-type",
        "source",
        "detail",
        "accessKeyId",
        "accountId",
        "resource",
        "service",
        "accessKeyDetails",
        "type",
        "AccountId",
        "Resource",
        "Service",
        "AccessKeyDetails",
        "AccessKeyId",
        "findings",
        "Findings",
        "Resources",
        "Id",
        "resources",
        "uid",
        "finding_info",
        "class_uid",
        "affectedEntities",
        "entityValue",
        "eventTypeCode",
        "alert",
        "secret",
        "secret_type",
        "DetectorName",
        "Raw",
        "check-name",
        "check-item-detail",
        "Access Key ID",
        "ProductArn",
        "Types",
        "AwsIamAccessKey",
        "AWS",
        "AKIAIOSFODNN7EXAMPLE",
    ];
    let word = || prop_oneof![4 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word(), inner.clone()), 0..6).prop_map(|fields| fields.into_iter().collect()),
            inner.prop_map(|value| Value::from(value.to_string()))
        ]
    })
}

/// Generates a secret access key: 40 characters in mixed case.
fn secret() -> impl Strategy<Value = String> {
    "[a-z][A-Z][0-9][A-Za-z0-9/+]{37}"
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/integration/alerts/regressions.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn only_the_generated_keys_are_exposed(seeds in seeds()) {
        let mut case = Case::new(seeds);
        let payload = case.payload();
        prop_assert_eq!(exposed(&payload), case.keys(), "{}", payload);
    }

    #[test]
    fn buckets_and_owner_are_those_of_the_alert(seeds in seeds()) {
        let mut case = Case::new(seeds);
        case.alerts.truncate(1);
        let payload = case.payload();
        let origin = &case.alerts[0];
        for (key, buckets, accounts, regions) in found(&payload) {
            prop_assert_eq!(&buckets, &origin.buckets.iter().cloned().collect(), "{}: {} in {}", origin.source, key, payload);
            if let Some(owner) = &origin.owner {
                prop_assert_eq!(accounts.first(), Some(&owner.0), "{}", payload);
                prop_assert!(regions.contains(&owner.1), "{}", payload);
            }
        }
    }

    #[test]
    fn damaged_alert_exposes_no_decoy(seeds in seeds()) {
        let mut case = Case::new(seeds).damaged();
        let payload = case.payload();
        check_any_payload(&payload)?;
        let exposed = exposed(&payload);
        prop_assert!(case.decoys.iter().all(|decoy| !exposed.contains(decoy)), "decoy exposed: {}", payload);
        prop_assert!(exposed.is_subset(&case.keys()), "{}", payload);
    }

    #[test]
    fn damaged_wrapper_exposes_no_decoy(seeds in seeds()) {
        let mut case = Case::new(seeds);
        let mut wrapped = serde_json::from_str(&case.payload()).unwrap();
        deliveries::damage(&mut wrapped, &mut case.choices, &case.stray);
        let payload = wrapped.to_string();
        check_any_payload(&payload)?;
        prop_assert!(exposed(&payload).is_subset(&case.keys()), "{}", payload);
    }

    #[test]
    fn style_of_the_json_changes_nothing(seeds in seeds()) {
        let mut case = Case::new(seeds);
        if case.choices.yes() {
            case = case.damaged();
        }
        check_other_styles(&case.payload())?;
    }

    #[test]
    fn unknown_fields_change_nothing(seeds in seeds()) {
        let mut case = Case::new(seeds);
        let mut choices = case.choices.clone();
        let before = found(&case.payload());
        for origin in case.alerts.iter_mut().filter(|origin| !origin.manual) {
            deliveries::add_unknown_fields(&mut origin.payload, &mut choices, &case.stray);
        }
        let payload = case.payload();
        prop_assert_eq!(found(&payload), before, "{}", payload);
    }

    #[test]
    fn unknown_field_stops_manual_event(seeds in seeds(), field in "[a-zA-Z-]{1,12}") {
        prop_assume!(!["accessKeyId", "bucketName", "region", "reason"].contains(&field.as_str()));
        let mut names = Names::new(seeds.1);
        let mut object = json!({"accessKeyId": names.key(), "bucketName": "photos"});
        object[&field] = json!(names.key());
        let mut choices = Choices::new(seeds.0);
        let payload = deliveries::wrap(&[object], &mut choices).to_string();
        prop_assert_eq!(exposed(&payload), BTreeSet::new());
    }

    #[test]
    fn too_many_keys_expose_none(count in 0_usize..30, most in 0_usize..30, seeds in seeds()) {
        let mut names = Names::new(seeds.1);
        let mut choices = Choices::new(seeds.0);
        let keys: Vec<String> = (0..count).map(|_| names.key()).collect();
        // Some keys in a list, some alone, some twice.
        let (list, alone) = keys.split_at(choices.below(count + 1));
        let mut alerts = vec![json!({"accessKeyId": list})];
        alerts.extend(alone.iter().map(|key| json!({"accessKeyId": key})));
        alerts.extend(keys.iter().filter(|_| choices.yes()).map(|key| json!({"accessKeyId": key})));
        let messages = groups(&Value::Array(alerts).to_string()).remove(0);
        let alerts = alert::read(&messages, most, None);
        let actionable = alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten().count();
        if count > most {
            prop_assert_eq!((alerts.len(), actionable), (1, 0));
            let Err(Unactionable::TooMany(reason)) = &alerts[0].exposures else { return Err(TestCaseError::fail("unexpected reason")) };
            prop_assert_eq!(reason.named.len(), count);
        } else {
            prop_assert_eq!(actionable, count);
        }
    }

    #[test]
    fn secret_never_leaves_the_parser(seeds in seeds(), secret in secret()) {
        let mut case = Case::new(seeds);
        for origin in &mut case.alerts {
            deliveries::insert_text(&mut origin.payload, &mut case.choices, &secret);
        }
        let payload = case.payload();
        for alert in read(&payload) {
            let mut output = output(&alert);
            // An ID is exact, so that a part of it may look like a secret.
            let Origin { id, product_arn, event_id, .. } = &alert.origin;
            let glued = format!(":{secret}");
            for id in [id, product_arn, event_id].into_iter().flatten().filter(|id| id.as_str().contains(&glued)) {
                output = output.replace(id.as_str(), "");
            }
            // A part of the secret is a leak as well.
            for part in [&secret[..20], &secret[10..30], &secret[20..]] {
                prop_assert!(!output.contains(part), "{} of {} is in {}", part, secret, output);
            }
        }
    }

    #[test]
    fn any_json_is_parsed_without_panic(value in json(), most_nested in 0_usize..200) {
        check_any_payload(&value.to_string())?;
        check_other_styles(&value.to_string())?;
        let nested = (0..most_nested).fold(value.to_string(), |inner, _| format!("[{inner}]"));
        check_any_payload(&nested)?;
    }

    #[test]
    fn any_text_is_parsed_without_panic(text in any::<String>(), value in json(), cut in any::<prop::sample::Index>()) {
        check_any_payload(&text)?;
        let json = value.to_string();
        let short: String = json.chars().take(cut.index(json.len() + 1)).collect();
        check_any_payload(&short)?;
        check_any_payload(&format!("{json}{text}{json}"))?;
    }
}
