//! Records on the event bus: after all work, each of them, and whatever goes wrong there changes nothing else.

use std::time::{Duration, Instant};

use lightsail_key_responder::outcome::InvocationError;
use lightsail_key_responder::respond::Response;
use lightsail_simulator::{Fault, Script, Settings};
use serde_json::{Value, json};

use crate::bus::{Bus, Says};
use crate::scene::{KEY, SIBLING, Scene, by_hand, event};

/// A function with the bus, and the key and a sibling on bucket `photos`.
async fn scene(bus: &Bus) -> Scene {
    let variables = [("RECORD_BUS", "records"), ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus.endpoint)];
    Scene::with(Settings::default(), &variables).await.seeded("us-east-1", "photos", &[KEY, SIBLING])
}

fn is_revoked(result: &Result<Response, InvocationError>) -> bool {
    let records = result.as_ref().map(|response| serde_json::to_value(response).unwrap());
    records.is_ok_and(|answer| answer["records"][0]["status_code"] == "revoked")
}

/// What the log says after the records.
fn complaint(lines: &[Value]) -> &Value {
    assert_eq!(lines.len(), 2, "a record and a complaint: {lines:#?}");
    let (record, complaint) = (&lines[0], &lines[1]);
    assert!(record["audit"].is_object() && complaint["audit"].is_null());
    assert_eq!(complaint["level"], "ERROR");
    complaint
}

#[tokio::test]
async fn a_record_is_put_on_the_bus_when_the_key_is_gone() {
    let bus = Bus::start(&[], Says::Taken);
    let scene = scene(&bus).await;
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(bus.sizes(), [1]);
    let entry = &bus.calls()[0][0];
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail, answer.record, "the record, whole");
    assert_eq!(entry["EventBusName"], "records");
    assert_eq!(entry["Source"], "lightsail-key-responder");
    assert_eq!(entry["DetailType"], "Lightsail Bucket Access Key Response");
    let seconds = detail["time"].as_f64().unwrap() / 1000.0;
    assert!((entry["Time"].as_f64().unwrap() - seconds).abs() < 0.001);
}

#[tokio::test]
async fn an_event_without_a_key_is_told_on_the_bus_as_well() {
    let bus = Bus::start(&[], Says::Taken);
    let answer = scene(&bus).await.respond(&json!({"accessKeyId": "oops"})).await;
    assert_eq!(answer.error_type(), "Responder.Unreadable");
    assert_eq!(bus.sizes(), [1]);
}

#[tokio::test]
async fn the_records_of_a_batch_go_ten_to_a_call() {
    let bus = Bus::start(&[], Says::Taken);
    let items =
        (0..23).map(|number| json!({"messageId": number.to_string(), "eventSource": "aws:sqs", "body": "hello"}));
    let (lines, result) = scene(&bus).await.deliver(&json!({"Records": items.collect::<Vec<_>>()})).await;
    assert_eq!(serde_json::to_value(result.unwrap()).unwrap(), json!({"batchItemFailures": []}));
    assert_eq!((lines.len(), bus.sizes()), (23, vec![10, 10, 3]));
}

#[tokio::test]
async fn an_entry_that_failed_in_a_call_that_did_not_is_put_again_and_no_other() {
    let throttled = Says::FirstRefused("ThrottlingException");
    let bus = Bus::start(&[throttled, throttled], Says::Taken);
    let event = json!({"accessKeyId": [KEY, SIBLING], "bucketName": "photos"});
    let (lines, result) = scene(&bus).await.deliver(&event).await;
    assert!(is_revoked(&result));
    assert_eq!((lines.len(), bus.sizes()), (2, vec![2, 1, 1]));
    let calls = bus.calls();
    assert_eq!(calls[0][0]["Detail"], calls[2][0]["Detail"]);
}

#[tokio::test]
async fn what_would_be_refused_again_is_put_once_and_the_log_says_so() {
    for (says, why) in [
        (Says::FirstRefused("NotAuthorizedForSource"), "PutEvents refused the entry: NotAuthorizedForSource"),
        (Says::Denied, "PutEvents: AccessDeniedException, not authorized"),
    ] {
        let bus = Bus::start(&[], says);
        let scene = scene(&bus).await;
        let (lines, result) = scene.deliver(&by_hand()).await;
        assert!(is_revoked(&result));
        assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
        assert_eq!(bus.sizes(), [1]);
        let complaint = complaint(&lines);
        let text = complaint["message"].as_str().unwrap();
        assert!(text.starts_with("1 of 1 records did not reach the event bus; the log has them: "), "{text}");
        assert!(text.ends_with(why), "{text}");
        assert_eq!(complaint["RecordsNotPublished"], 1);
        let directive = &complaint["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Metrics"], json!([{"Name": "RecordsNotPublished", "Unit": "Count"}]));
    }
}

#[tokio::test]
async fn a_bus_that_always_throttles_is_given_up_after_five_calls() {
    let bus = Bus::start(&[], Says::FirstRefused("ThrottlingException"));
    let (lines, result) = scene(&bus).await.deliver(&by_hand()).await;
    assert!(is_revoked(&result));
    assert_eq!(bus.sizes(), [1; 5]);
    complaint(&lines);
}

#[tokio::test]
async fn an_answer_that_does_not_say_how_the_entries_fared_is_no_success() {
    let bus = Bus::start(&[], Says::Empty);
    let (lines, result) = scene(&bus).await.deliver(&by_hand()).await;
    assert!(is_revoked(&result));
    assert!(complaint(&lines)["message"].as_str().unwrap().contains("an answer for other entries"));
}

#[tokio::test]
async fn a_bus_that_does_not_answer_cannot_keep_the_function_from_answering_in_time() {
    let bus = Bus::start(&[], Says::Nothing);
    let scene = scene(&bus).await;
    let started = Instant::now();
    let (lines, result) = scene.deliver_within(&by_hand().to_string(), Duration::from_secs(3)).await;
    assert!(is_revoked(&result));
    // 3 s, less two thirds of the quarter that is kept back.
    assert!(started.elapsed() < Duration::from_millis(2_600), "{:?}", started.elapsed());
    complaint(&lines);
}

#[tokio::test]
async fn a_bus_that_does_not_answer_is_waited_for_five_seconds_at_most() {
    let bus = Bus::start(&[], Says::Nothing);
    let started = Instant::now();
    let (lines, result) = scene(&bus).await.deliver(&by_hand()).await;
    assert!(is_revoked(&result));
    let took = started.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(6), "{took:?}");
    complaint(&lines);
}

#[tokio::test]
async fn without_a_bus_nothing_is_put_anywhere() {
    let bus = Bus::start(&[], Says::Taken);
    let variables = [("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint.as_str())];
    let scene = Scene::with(Settings::default(), &variables).await.seeded("us-east-1", "photos", &[KEY]);
    assert_eq!(scene.respond(&by_hand()).await.outcome(), "revoked");
    assert!(bus.calls().is_empty());
}

/// The metrics of the log line of one event.
async fn metrics(scene: &Scene, event: &Value) -> Value {
    let (mut lines, _) = scene.deliver(event).await;
    let mut line = lines.swap_remove(0);
    let members = line.as_object_mut().unwrap();
    members.retain(|name, _| name.chars().all(char::is_alphabetic) && name.starts_with(char::is_uppercase));
    line
}

fn names(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_record_counts_and_measures_what_there_was_to_measure() {
    let scene = Scene::with_key_on_photos().await;
    let line = metrics(&scene, &json!({"accessKeyId": "oops"})).await;
    assert_eq!(line, json!({"FunctionName": "responder", "Outcome": "unreadable", "Records": 1}));
    let mut alert = event("guardduty-s3-exfiltration");
    let named = metrics(&scene, &alert).await;
    let measured = ["AlertToDelete", "FunctionName", "InvocationToDelete", "InvocationToGone", "Outcome", "Records"];
    assert_eq!((&named["Outcome"], names(&named)), (&json!("revoked"), measured.to_vec()));
    assert!(named["InvocationToDelete"].as_u64() <= named["InvocationToGone"].as_u64());
    // The alert of the file is months old.
    assert!(named["AlertToDelete"].as_u64() > Some(1_000_000));
    // Nothing of the second was deleted, though a delete was sent.
    let again = metrics(&scene, &alert).await;
    assert_eq!((&again["Outcome"], &again["SearchesIncomplete"]), (&json!("already_absent"), &json!(0)));
    assert!(again["InvocationToDelete"].is_u64() && again["InvocationToGone"].is_null());
    alert["time"] = json!("2999-01-01T00:00:00Z");
    assert!(metrics(&scene, &alert).await["AlertToDelete"].is_null());
    scene.simulator.script(Script::new("GetBuckets", Fault::AccessDenied).every()).unwrap();
    let incomplete = metrics(&scene, &json!({"accessKeyId": KEY})).await;
    assert_eq!((&incomplete["Outcome"], &incomplete["SearchesIncomplete"]), (&json!("search_incomplete"), &json!(1)));
    assert!(incomplete["InvocationToDelete"].is_null());
}
