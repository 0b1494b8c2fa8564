//! Tests of several keys per alert and several alerts per delivery. Each key has a record. Each failed queue item is
//! reported.

use lightsail_simulator::{Fault, Script, Settings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scene::{KEY, SIBLING, Scene, event, manual_event};

const OTHER: &str = "AKIAQQQQQQQQQQQQQQQQ";

fn outcomes(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["audit"]["status_code"].as_str().unwrap()).collect()
}

fn sqs_event(bodies: &[(&str, String)]) -> Value {
    let records = bodies.iter().map(|(id, body)| json!({"messageId": id, "eventSource": "aws:sqs", "body": body}));
    json!({"Records": records.collect::<Vec<_>>()})
}

#[tokio::test(start_paused = true)]
async fn each_listed_key_is_deleted_and_recorded() {
    let scene = Scene::with_key_on_photos().await.seeded("eu-west-1", "backups", &[OTHER]);
    let event = json!({"accessKeyId": [KEY, OTHER, KEY], "bucketName": "photos"});
    let (lines, result) = scene.deliver(&event).await;
    assert_eq!(outcomes(&lines), ["revoked", "revoked"]);
    let records = serde_json::to_value(result.unwrap()).unwrap();
    assert_eq!(records["records"].as_array().unwrap().len(), 2);
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    assert!(scene.keys("eu-west-1", "backups").is_empty());
}

#[tokio::test(start_paused = true)]
async fn failed_key_fails_invocation_but_not_other_keys() {
    let scene = Scene::with_key_on_photos().await;
    let (lines, result) = scene.deliver(&json!({"accessKeyId": ["oops", KEY], "bucketName": "photos"})).await;
    let mut found = outcomes(&lines);
    found.sort_unstable();
    assert_eq!(found, ["revoked", "unreadable"]);
    assert_eq!(result.unwrap_err().error_type, "Responder.Unreadable");
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn too_many_keys_are_protected() {
    let scene = Scene::with(Settings::default(), &[("MAX_KEYS_PER_ALERT", "2")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    let three = [KEY, SIBLING, OTHER];
    let list = json!({"accessKeyId": three});
    // Neither a list of alerts nor a notification circumvents the limit.
    let alerts = three.map(|key| json!({"accessKeyId": key}));
    let notification = json!({"Type": "Notification", "TopicArn": "t", "Message": list.to_string()});
    for event in [list, json!(alerts), notification] {
        let answer = scene.respond(&event).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("protected", "Responder.Protected"));
        assert_eq!((&answer.record["status_id"], &answer.record["status"]), (&json!(99), &json!("Protected")));
        assert!(answer.message().contains("3 keys are named at once, and MAX_KEYS_PER_ALERT allows 2"));
    }
    assert!(scene.operations().is_empty());
    let (lines, _) = scene.deliver(&json!({"accessKeyId": [KEY, SIBLING, KEY]})).await;
    assert_eq!(outcomes(&lines), ["revoked", "revoked"]);
}

#[tokio::test(start_paused = true)]
async fn only_failed_queue_items_are_reported() {
    let scene = Scene::with_key_on_photos().await.seeded("us-east-1", "locked", &[OTHER]);
    let locked = json!({"accessKeyId": OTHER, "bucketName": "locked"});
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::AccessDenied).after(1).every());
    let event = sqs_event(&[
        ("good", manual_event().to_string()),
        ("plain", "KILL".to_owned()),
        ("truncated", manual_event().to_string()[..40].to_owned()),
        ("unknown", event("unknown-event").to_string()),
        ("denied", locked.to_string()),
    ]);
    let (lines, result) = scene.deliver(&event).await;
    let outcome_of = |id: &str| {
        let line = lines.iter().find(|line| line["audit"]["unmapped"]["invocation"]["message_id"] == id).unwrap();
        line["audit"]["status_code"].as_str().unwrap()
    };
    assert_eq!(lines.len(), 5);
    assert_eq!(
        [outcome_of("plain"), outcome_of("unknown"), outcome_of("truncated")],
        ["ignored", "ignored", "unreadable"]
    );
    let mut deletes = [outcome_of("good"), outcome_of("denied")];
    deletes.sort_unstable();
    assert_eq!(deletes, ["failed", "revoked"]);
    let response = serde_json::to_value(result.unwrap()).unwrap();
    let failed = response["batchItemFailures"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{response}");
    assert!(failed.contains(&json!({"itemIdentifier": "truncated"})));
}

#[tokio::test(start_paused = true)]
async fn successful_batch_reports_no_failures() {
    let scene = Scene::with_key_on_photos().await;
    let notification = json!({"Type": "Notification", "TopicArn": "t", "Message": manual_event().to_string()});
    let (lines, result) =
        scene.deliver(&sqs_event(&[("1", notification.to_string()), ("2", "hello".to_owned())])).await;
    assert_eq!(lines.len(), 2);
    assert_eq!(serde_json::to_value(result.unwrap()).unwrap(), json!({"batchItemFailures": []}));
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn failed_item_without_id_fails_batch() {
    let scene = Scene::new().await;
    let event = json!({"Records": [{"eventSource": "aws:sqs", "body": "{\"accessKeyId\": \"oops\"}"}]});
    let (lines, result) = scene.deliver(&event).await;
    assert_eq!(outcomes(&lines), ["unreadable"]);
    assert_eq!(result.unwrap_err().error_type, "Responder.Unreadable");
}

#[tokio::test(start_paused = true)]
async fn batch_items_are_processed_concurrently() {
    let scene = Scene::new().await;
    let keys: Vec<String> = (0..10).map(|number| format!("AKIA{number:0>16}")).collect();
    let mut scene = scene;
    for (number, key) in keys.iter().enumerate() {
        scene = scene.seeded("us-east-1", &format!("bucket-{number}"), &[key]);
    }
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 300 }).every());
    let bodies: Vec<_> = (0..10)
        .map(|number| {
            ("id", json!({"accessKeyId": keys[number], "bucketName": format!("bucket-{number}")}).to_string())
        })
        .collect();
    let started = Instant::now();
    let (lines, _) = scene.deliver(&sqs_event(&bodies)).await;
    assert_eq!(outcomes(&lines), ["revoked"; 10]);
    assert!(started.elapsed().as_millis() < 2_000, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn sns_notification_returns_plain_response() {
    let scene = Scene::with_key_on_photos().await;
    let sns = |message: &str| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}}]});
    let (lines, result) = scene.deliver(&sns(&event("guardduty-s3-exfiltration").to_string())).await;
    assert_eq!(outcomes(&lines), ["revoked"]);
    assert!(result.is_ok());
    let (lines, result) = scene.deliver(&sns("ALARM: something else")).await;
    assert_eq!(outcomes(&lines), ["ignored"]);
    assert!(result.is_ok());
}

/// One message with 51,200 values, and nine alerts beside it.
#[tokio::test(start_paused = true)]
async fn junk_message_makes_one_record() {
    let keys: Vec<String> = (0..9).map(|number| format!("AKIA{number:0>16}")).collect();
    let mut scene = Scene::new().await;
    for (number, key) in keys.iter().enumerate() {
        scene = scene.seeded("us-east-1", &format!("bucket-{number}"), &[key]);
    }
    let alert =
        |number: usize| json!({"accessKeyId": keys[number], "bucketName": format!("bucket-{number}")}).to_string();
    let mut bodies: Vec<_> = (0..9).map(|number| ("alert", alert(number))).collect();
    bodies.insert(0, ("junk", "1 ".repeat(51_200)));
    let (lines, result) = scene.deliver(&sqs_event(&bodies)).await;
    let mut found = outcomes(&lines);
    found.sort_unstable();
    assert_eq!(found, [&["ignored"][..], &["revoked"; 9]].concat());
    let junk = lines.iter().find(|line| line["audit"]["status_code"] == "ignored").unwrap();
    let message = junk["audit"]["message"].as_str().unwrap();
    assert!(message.contains("(51200 equal alerts in one message)"), "{message}");
    assert_eq!(serde_json::to_value(result.unwrap()).unwrap(), json!({"batchItemFailures": []}));
}

#[tokio::test(start_paused = true)]
async fn alerts_beyond_limit_are_one_record() {
    let scene = Scene::with_key_on_photos().await;
    let unreadable = (0..150).map(|number| json!({"accessKeyId": KEY, format!("unknown{number}"): 1}).to_string());
    let mut values: Vec<String> = unreadable.collect();
    values.push(manual_event().to_string());
    let (lines, result) = scene.deliver(&sqs_event(&[("1", values.join("\n"))])).await;
    let found = outcomes(&lines);
    assert_eq!((found.len(), found.iter().filter(|outcome| **outcome == "unreadable").count()), (101, 100));
    let rest = lines.iter().filter_map(|line| line["audit"]["message"].as_str()).find(|text| text.contains("further"));
    assert!(rest.unwrap().contains("51 further alerts of this message were not taken"), "{rest:?}");
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    let response = serde_json::to_value(result.unwrap()).unwrap();
    assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": "1"}]}));
}
