//! Several keys in one alert, several alerts in one delivery: each key its record, each item of a queue its answer.

use lightsail_simulator::{Fault, Script, Settings};
use serde_json::{Value, json};

use crate::scene::{KEY, SIBLING, Scene, by_hand, event};

const OTHER: &str = "AKIAQQQQQQQQQQQQQQQQ";

fn outcomes(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["audit"]["status_code"].as_str().unwrap()).collect()
}

fn queued(bodies: &[(&str, String)]) -> Value {
    let records = bodies.iter().map(|(id, body)| json!({"messageId": id, "eventSource": "aws:sqs", "body": body}));
    json!({"Records": records.collect::<Vec<_>>()})
}

#[tokio::test]
async fn every_key_of_a_list_is_deleted_and_has_its_record() {
    let scene = Scene::with_key_on_photos().await.seeded("eu-west-1", "backups", &[OTHER]);
    let event = json!({"accessKeyId": [KEY, OTHER, KEY], "bucketName": "photos"});
    let (lines, result) = scene.deliver(&event).await;
    assert_eq!(outcomes(&lines), ["revoked", "revoked"]);
    let records = serde_json::to_value(result.unwrap()).unwrap();
    assert_eq!(records["records"].as_array().unwrap().len(), 2);
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    assert!(scene.keys("eu-west-1", "backups").is_empty());
}

#[tokio::test]
async fn one_failed_key_makes_the_invocation_an_error_and_does_not_stop_the_others() {
    let scene = Scene::with_key_on_photos().await;
    let (lines, result) = scene.deliver(&json!({"accessKeyId": ["oops", KEY], "bucketName": "photos"})).await;
    let mut found = outcomes(&lines);
    found.sort_unstable();
    assert_eq!(found, ["revoked", "unreadable"]);
    assert_eq!(result.unwrap_err().error_type, "Responder.Unreadable");
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn more_keys_than_allowed_are_for_a_person_to_decide() {
    let scene = Scene::with(Settings::default(), &[("MAX_KEYS_PER_ALERT", "2")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    let three = [KEY, SIBLING, OTHER];
    let list = json!({"accessKeyId": three});
    // Neither a list of alerts nor a notification is a way around it.
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

#[tokio::test]
async fn a_queue_is_told_which_items_failed_and_no_other() {
    let scene = Scene::with_key_on_photos().await.seeded("us-east-1", "locked", &[OTHER]);
    let locked = json!({"accessKeyId": OTHER, "bucketName": "locked"});
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::AccessDenied).after(1).every());
    let event = queued(&[
        ("good", by_hand().to_string()),
        ("plain", "KILL".to_owned()),
        ("cut", by_hand().to_string()[..40].to_owned()),
        ("stranger", event("unknown-event").to_string()),
        ("denied", locked.to_string()),
    ]);
    let (lines, result) = scene.deliver(&event).await;
    let by_item = |id: &str| {
        let line = lines.iter().find(|line| line["audit"]["unmapped"]["invocation"]["message_id"] == id).unwrap();
        line["audit"]["status_code"].as_str().unwrap()
    };
    assert_eq!(lines.len(), 5);
    assert_eq!([by_item("plain"), by_item("stranger"), by_item("cut")], ["ignored", "ignored", "unreadable"]);
    let mut acted = [by_item("good"), by_item("denied")];
    acted.sort_unstable();
    assert_eq!(acted, ["failed", "revoked"]);
    let response = serde_json::to_value(result.unwrap()).unwrap();
    let failed = response["batchItemFailures"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{response}");
    assert!(failed.contains(&json!({"itemIdentifier": "cut"})));
}

#[tokio::test]
async fn a_queue_whose_items_all_went_well_has_none_to_send_again() {
    let scene = Scene::with_key_on_photos().await;
    let notification = json!({"Type": "Notification", "TopicArn": "t", "Message": by_hand().to_string()});
    let (lines, result) = scene.deliver(&queued(&[("1", notification.to_string()), ("2", "hello".to_owned())])).await;
    assert_eq!(lines.len(), 2);
    assert_eq!(serde_json::to_value(result.unwrap()).unwrap(), json!({"batchItemFailures": []}));
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn a_failed_item_without_an_id_fails_the_whole_batch() {
    let scene = Scene::new().await;
    let event = json!({"Records": [{"eventSource": "aws:sqs", "body": "{\"accessKeyId\": \"oops\"}"}]});
    let (lines, result) = scene.deliver(&event).await;
    assert_eq!(outcomes(&lines), ["unreadable"]);
    assert_eq!(result.unwrap_err().error_type, "Responder.Unreadable");
}

#[tokio::test]
async fn the_items_of_a_batch_are_acted_on_side_by_side() {
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
    let started = std::time::Instant::now();
    let (lines, _) = scene.deliver(&queued(&bodies)).await;
    assert_eq!(outcomes(&lines), ["revoked"; 10]);
    assert!(started.elapsed().as_millis() < 2_000, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_notification_of_sns_is_answered_as_one() {
    let scene = Scene::with_key_on_photos().await;
    let sns = |message: &str| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}}]});
    let (lines, result) = scene.deliver(&sns(&event("guardduty-s3-exfiltration").to_string())).await;
    assert_eq!(outcomes(&lines), ["revoked"]);
    assert!(result.is_ok());
    let (lines, result) = scene.deliver(&sns("ALARM: something else")).await;
    assert_eq!(outcomes(&lines), ["ignored"]);
    assert!(result.is_ok());
}
