//! Tests of the event bus: all records are published after all other work, and a publishing error changes nothing else.

use std::time::Duration;

use lightsail_key_responder::outcome::InvocationError;
use lightsail_key_responder::respond::Response;
use lightsail_simulator::{Fault, Script, Settings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bus::{Bus, Reply};
use crate::scene::{KEY, SIBLING, Scene, event, manual_event, seen_first};

/// Starts a function that uses the bus. The key and its sibling are on bucket `photos`.
async fn scene(bus: &Bus) -> Scene {
    let variables = [("RECORD_BUS", "records"), ("AWS_ENDPOINT_URL_EVENTBRIDGE", &bus.endpoint)];
    Scene::with(Settings::default(), &variables).await.seeded("us-east-1", "photos", &[KEY, SIBLING])
}

fn is_revoked(result: &Result<Response, InvocationError>) -> bool {
    let records = result.as_ref().map(|response| serde_json::to_value(response).unwrap());
    records.is_ok_and(|answer| answer["records"][0]["status_code"] == "revoked")
}

/// Returns the log line about unpublished records, which follows the one record.
fn publish_error(lines: &[Value]) -> &Value {
    assert_eq!(lines.len(), 2, "one record and one error line: {lines:#?}");
    let (record, publish_error) = (&lines[0], &lines[1]);
    assert!(record["audit"].is_object() && publish_error["audit"].is_null());
    assert_eq!(publish_error["level"], "ERROR");
    publish_error
}

#[tokio::test(start_paused = true)]
async fn record_of_revoked_key_is_published() {
    let bus = Bus::start(&[], Reply::Accepted);
    let scene = scene(&bus).await;
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(bus.sizes(), [1]);
    let entry = &bus.calls()[0][0];
    let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail, answer.record, "the whole record");
    assert_eq!(entry["EventBusName"], "records");
    assert_eq!(entry["Source"], "lightsail-key-responder");
    assert_eq!(entry["DetailType"], "Lightsail Bucket Access Key Response");
    let seconds = detail["time"].as_f64().unwrap() / 1000.0;
    assert!((entry["Time"].as_f64().unwrap() - seconds).abs() < 0.001);
}

#[tokio::test(start_paused = true)]
async fn record_of_unreadable_event_is_published() {
    let bus = Bus::start(&[], Reply::Accepted);
    let answer = scene(&bus).await.respond(&json!({"accessKeyId": "oops"})).await;
    assert_eq!(answer.error_type(), "Responder.Unreadable");
    assert_eq!(bus.sizes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn batch_records_are_published_ten_per_call() {
    let bus = Bus::start(&[], Reply::Accepted);
    let items =
        (0..23).map(|number| json!({"messageId": number.to_string(), "eventSource": "aws:sqs", "body": "hello"}));
    let (lines, result) = scene(&bus).await.deliver(&json!({"Records": items.collect::<Vec<_>>()})).await;
    assert_eq!(serde_json::to_value(result.unwrap()).unwrap(), json!({"batchItemFailures": []}));
    assert_eq!((lines.len(), bus.sizes()), (23, vec![10, 10, 3]));
}

#[tokio::test(start_paused = true)]
async fn only_rejected_entry_is_retried() {
    let throttled = Reply::FirstRejected("ThrottlingException");
    let bus = Bus::start(&[throttled, throttled], Reply::Accepted);
    let event = json!({"accessKeyId": [KEY, SIBLING], "bucketName": "photos"});
    let (lines, result) = scene(&bus).await.deliver(&event).await;
    assert!(is_revoked(&result));
    assert_eq!((lines.len(), bus.sizes()), (2, vec![2, 1, 1]));
    let calls = bus.calls();
    assert_eq!(calls[0][0]["Detail"], calls[2][0]["Detail"]);
}

#[tokio::test(start_paused = true)]
async fn permanent_refusal_is_logged_without_retry() {
    for (reply, reason) in [
        (Reply::FirstRejected("NotAuthorizedForSource"), "PutEvents refused the entry: NotAuthorizedForSource"),
        (Reply::Denied, "PutEvents: AccessDeniedException, not authorized"),
    ] {
        let bus = Bus::start(&[], reply);
        let scene = scene(&bus).await;
        let (lines, result) = scene.deliver(&manual_event()).await;
        assert!(is_revoked(&result));
        assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
        assert_eq!(bus.sizes(), [1]);
        let publish_error = publish_error(&lines);
        let text = publish_error["message"].as_str().unwrap();
        assert!(text.starts_with("1 of 1 records did not reach the event bus; the log has them: "), "{text}");
        assert!(text.ends_with(reason), "{text}");
        assert_eq!(publish_error["RecordsNotPublished"], 1);
        let directive = &publish_error["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Metrics"], json!([{"Name": "RecordsNotPublished", "Unit": "Count"}]));
    }
}

#[tokio::test(start_paused = true)]
async fn endless_throttling_ends_after_five_calls() {
    let bus = Bus::start(&[], Reply::FirstRejected("ThrottlingException"));
    let (lines, result) = scene(&bus).await.deliver(&manual_event()).await;
    assert!(is_revoked(&result));
    assert_eq!(bus.sizes(), [1; 5]);
    publish_error(&lines);
}

#[tokio::test(start_paused = true)]
async fn response_without_results_is_no_success() {
    let bus = Bus::start(&[], Reply::Empty);
    let (lines, result) = scene(&bus).await.deliver(&manual_event()).await;
    assert!(is_revoked(&result));
    assert!(publish_error(&lines)["message"].as_str().unwrap().contains("results for other entries"));
}

#[tokio::test(start_paused = true)]
async fn silent_bus_does_not_delay_past_deadline() {
    let bus = Bus::start(&[], Reply::Silence);
    let scene = scene(&bus).await;
    let started = Instant::now();
    let (lines, result) = scene.deliver_within(&manual_event().to_string(), Duration::from_secs(3)).await;
    assert!(is_revoked(&result));
    // The limit is 3 s minus two thirds of the reserve, which is a quarter of the time.
    assert!(started.elapsed() < Duration::from_millis(2_600), "{:?}", started.elapsed());
    publish_error(&lines);
}

#[tokio::test(start_paused = true)]
async fn silent_bus_times_out_after_five_seconds() {
    let bus = Bus::start(&[], Reply::Silence);
    let started = Instant::now();
    let (lines, result) = scene(&bus).await.deliver(&manual_event()).await;
    assert!(is_revoked(&result));
    let took = started.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(6), "{took:?}");
    publish_error(&lines);
}

#[tokio::test(start_paused = true)]
async fn no_bus_means_no_publishing() {
    let bus = Bus::start(&[], Reply::Accepted);
    let variables = [("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.endpoint.as_str())];
    let scene = Scene::with(Settings::default(), &variables).await.seeded("us-east-1", "photos", &[KEY]);
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked");
    assert!(bus.calls().is_empty());
}

/// Returns the metrics in the log line of one event.
async fn metrics(scene: &Scene, event: &Value) -> Value {
    let (mut lines, _) = scene.deliver(event).await;
    let mut line = lines.swap_remove(0);
    let fields = line.as_object_mut().unwrap();
    fields.retain(|name, _| name.chars().all(char::is_alphabetic) && name.starts_with(char::is_uppercase));
    line
}

fn names(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn metrics_cover_only_measured_values() {
    let scene = Scene::with_key_on_photos().await;
    let line = metrics(&scene, &json!({"accessKeyId": "oops"})).await;
    assert_eq!(line, json!({"FunctionName": "responder", "Outcome": "unreadable", "Records": 1}));
    let mut alert = event("guardduty-s3-exfiltration");
    scene.simulator.script(seen_first()).unwrap();
    let named = metrics(&scene, &alert).await;
    let expected = ["AlertToDelete", "FunctionName", "InvocationToDelete", "InvocationToGone", "Outcome", "Records"];
    assert_eq!((&named["Outcome"], names(&named)), (&json!("revoked"), expected.to_vec()));
    assert!(named["InvocationToDelete"].as_u64() <= named["InvocationToGone"].as_u64());
    // The alert in the file is five seconds old.
    assert_eq!(named["AlertToDelete"], 5_000);
    // The second event sends a delete, but it deletes nothing.
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

/// The search takes two round trips before the delete.
#[tokio::test(start_paused = true)]
async fn alert_to_delete_includes_time_before_invocation() {
    let scene = Scene::with(Settings { latency_ms: 50, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("eu-west-1", "backups", &[KEY]);
    let (lines, _) = scene.deliver(&event("guardduty-iam-compromised-credentials")).await;
    let before = lines[0]["audit"]["unmapped"]["timing_ms"]["alert_to_invocation"].as_u64().unwrap();
    let [from_alert, from_invocation] =
        ["AlertToDelete", "InvocationToDelete"].map(|name| lines[0][name].as_u64().unwrap());
    assert!(before > 0 && from_invocation >= 100, "{before}, {from_invocation}");
    assert_eq!(from_alert, before + from_invocation);
}

#[tokio::test(start_paused = true)]
async fn log_lines_have_time_of_configured_clock() {
    let bus = Bus::start(&[], Reply::Denied);
    let (lines, _) = scene(&bus).await.deliver(&manual_event()).await;
    let at = |line: &Value| {
        let timestamp: chrono::DateTime<chrono::Utc> = line["timestamp"].as_str().unwrap().parse().unwrap();
        timestamp.timestamp_millis()
    };
    let recorded = lines[0]["audit"]["time"].as_i64().unwrap();
    let publish_error = publish_error(&lines);
    for time in [at(&lines[0]), at(publish_error), publish_error["_aws"]["Timestamp"].as_i64().unwrap()] {
        // The clock of these tests starts on 2026-11-24, whatever the day is.
        assert!((recorded..recorded + 60_000).contains(&time), "{recorded}, {time}");
    }
}
