//! Tests of messages on queues and topics: what is read, what is another system's, and what is an error.

use lightsail_simulator::Settings;
use serde_json::{Value, json};

use crate::scene::{KEY, SIBLING, Scene, event, manual_event};

/// Returns an SQS batch with one message.
fn queued(body: impl Into<Value>) -> Value {
    json!({"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": body.into()}]})
}

/// Returns an event of SNS with one message.
fn notified(message: impl Into<Value>) -> Value {
    json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message.into()}}]})
}

/// Delivers `event` to a function that has the key on `photos`. Returns the outcomes, and whether the key was deleted.
async fn outcomes(event: &Value) -> (Vec<String>, bool) {
    let scene = Scene::with_key_on_photos().await;
    let (lines, _) = scene.deliver(event).await;
    let outcomes = lines.iter().map(|line| line["audit"]["status_code"].as_str().unwrap().to_owned()).collect();
    (outcomes, scene.keys("us-east-1", "photos") == [SIBLING])
}

async fn outcome(event: &Value) -> String {
    let (mut outcomes, deleted) = outcomes(event).await;
    assert_eq!(outcomes.len(), 1, "{event}");
    let outcome = outcomes.remove(0);
    assert_eq!(deleted, outcome == "revoked", "{event}: {outcome}");
    outcome
}

#[tokio::test(start_paused = true)]
async fn manual_event_is_read_in_three_casings() {
    for manual in [
        manual_event(),
        json!({"AccessKeyId": KEY, "BucketName": "photos", "Region": "us-east-1", "Reason": "x", "DryRun": false}),
        json!({"access_key_id": KEY, "bucket_name": "photos", "region": "us-east-1", "dry_run": false}),
        json!({"access_key_id": KEY, "BucketName": "photos"}),
    ] {
        for event in [queued(manual.to_string()), notified(manual.to_string()), manual] {
            assert_eq!(outcome(&event).await, "revoked", "{event}");
        }
    }
    let dry_run = json!({"access_key_id": KEY, "bucket_name": "photos", "dry_run": true});
    assert_eq!(outcome(&dry_run).await, "dry_run");
    let elsewhere = json!({"AccessKeyId": KEY, "BucketName": "photos", "AccountId": "111122223333"});
    assert_eq!(outcome(&elsewhere).await, "wrong_account");
}

#[tokio::test(start_paused = true)]
async fn json_in_json_is_read() {
    let manual = manual_event();
    let twice = Value::from(manual.to_string()).to_string();
    let four_times = (0..2).fold(twice.clone(), |text, _| Value::from(text).to_string());
    let mut finding = event("guardduty-s3-exfiltration");
    finding["detail"] = finding["detail"].to_string().into();
    finding["detail"] = finding["detail"].to_string().into();
    for event in [
        queued(twice.clone()),
        notified(twice.clone()),
        queued(four_times),
        queued(finding.to_string()),
        queued(manual.clone()),
        queued(json!([manual.clone()])),
        notified(manual),
        Value::from(twice),
    ] {
        assert_eq!(outcome(&event).await, "revoked", "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn unread_message_with_key_id_is_an_error() {
    let misspelt = |kind: &str| json!({"detail-type": kind, "source": "scanner", "detail": manual_event()});
    let mut no_source = misspelt("Lightsail Bucket Access Key Exposed");
    no_source.as_object_mut().unwrap().remove("source");
    let key = KEY.to_owned();
    for body in [
        json!({"exposedKey": KEY, "bucketName": "photos"}).to_string(),
        json!({"keys": {&key: "photos"}}).to_string(),
        json!({"alert": {"text": [format!("see \"{KEY}\".")]}}).to_string(),
        json!({"alert": json!({"text": format!("\u{e9}{KEY}")}).to_string().replace("AKIA", "\\u0041KIA")}).to_string(),
        misspelt("Lightsail Bucket Access Key Exposd").to_string(),
        no_source.to_string(),
        format!("ALARM: {KEY} was found"),
        format!("[{KEY}] https://example.com/?key=%22{KEY}%22"),
        KEY.to_owned(),
        json!([[[[[[[[[[[[KEY]]]]]]]]]]]]).to_string(),
        json!({"Type": "SubscriptionConfirmation", "TopicArn": KEY}).to_string(),
    ] {
        for event in [queued(body.clone()), notified(body.clone())] {
            assert_eq!(outcome(&event).await, "unreadable", "{event}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn message_without_key_id_is_foreign() {
    for body in [
        "ALARM: high CPU on web-1".to_owned(),
        json!({"AlarmName": "x", "NewStateValue": "ALARM"}).to_string(),
        event("unknown-event").to_string(),
        json!({"key": "ASIAIOSFODNN7EXAMPLE", "other": "AKIASHORT", "lower": KEY.to_lowercase()}).to_string(),
        json!({"Type": "SubscriptionConfirmation", "TopicArn": "t"}).to_string(),
        json!([]).to_string(),
        "1".to_owned(),
    ] {
        for event in [queued(body.clone()), notified(body.clone())] {
            assert_eq!(outcome(&event).await, "ignored", "{event}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn field_in_two_spellings_is_refused() {
    for event in [
        json!({"accessKeyId": KEY, "AccessKeyId": SIBLING}),
        json!({"accessKeyId": KEY, "access_key_id": KEY}),
        json!({"accessKeyId": KEY, "bucketName": "photos", "BucketName": "photos"}),
        json!({"accessKeyId": KEY, "dryRun": false, "dry_run": true}),
    ] {
        let scene = Scene::with_key_on_photos().await;
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "unreadable", "{event}");
        assert!(answer.message().contains("twice, in two spellings"), "{}", answer.message());
        assert_eq!(scene.keys("us-east-1", "photos").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn leak_reported_without_key_is_an_error() {
    for (name, says) in [
        ("github-secret-scanning", "GitHub secret scanning does not send the key: look up the access key ID there"),
        ("gitguardian", "GitGuardian does not send the key: look up the access key ID there"),
    ] {
        let answer = Scene::new().await.respond(&event(name)).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("unreadable", "Responder.Unreadable"), "{name}");
        assert!(answer.message().contains(says), "{}", answer.message());
    }
}

/// Both scanners send a webhook for every change of an alert. Only a new report is told.
#[tokio::test(start_paused = true)]
async fn later_webhook_of_told_leak_is_ignored() {
    let mut update = event("github-secret-scanning");
    for (action, expected) in [
        ("assigned", "ignored"),
        ("validated", "ignored"),
        ("reopened", "unreadable"),
        ("publicly_leaked", "unreadable"),
        ("something_new", "unreadable"),
    ] {
        update["action"] = action.into();
        assert_eq!(outcome(&update).await, expected, "{action}");
    }
    let mut update = event("gitguardian");
    for (action, expected) in [
        ("incident_assigned", "ignored"),
        ("incident_severity_changed", "ignored"),
        ("incident_regression", "unreadable"),
        ("incident_shared_publicly", "unreadable"),
        ("something_new", "unreadable"),
    ] {
        update["action"] = action.into();
        assert_eq!(outcome(&update).await, expected, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn custom_action_on_closed_finding_is_told() {
    let pressed = event("security-hub-custom-action");
    let with = |pointer: &str, value: Value| {
        let mut event = pressed.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        event["detail"]["findings"][0].pointer_mut(parent).unwrap()[field] = value;
        event
    };
    for (event, says) in [
        (with("/RecordState", json!("ARCHIVED")), "it is archived"),
        (with("/Workflow", json!({"Status": "RESOLVED"})), "it is resolved"),
        (with("/Workflow", json!({"Status": "SUPPRESSED"})), "it is suppressed"),
        (with("/Compliance", json!({"Status": "FAILED"})), "it is a check of settings"),
    ] {
        let scene = Scene::with_key_on_photos().await;
        let answer = scene.respond(&event).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("protected", "Responder.Protected"), "{event}");
        let message = answer.message();
        assert!(message.contains(says) && message.contains("custom action"), "{message}");
        assert!(message.contains("send a manual event with it"), "{message}");
        assert_eq!(scene.keys("us-east-1", "photos").len(), 2);
    }
    let keyless = with("/Resources", json!([{"Type": "AwsEc2Instance", "Id": "i-1"}]));
    assert_eq!(outcome(&keyless).await, "protected");
    assert_eq!(outcome(&with("/Sample", json!(true))).await, "ignored");
}

#[tokio::test(start_paused = true)]
async fn unknown_guardduty_type_with_key_is_an_error() {
    for (kind, expected) in [
        ("Impact:S3/ObjectsHeldForRansom", "unreadable"),
        ("Exfiltration:S3/TransferDataToCloudAccount", "ignored"),
        ("Impact:S3/DataDestruction", "ignored"),
        ("DefenseImpairment:S3/DisableOrModifyTools", "ignored"),
        ("Policy:S3/BucketAnonymousAccessGranted", "ignored"),
        ("Exfiltration:S3/MaliciousIPCaller", "revoked"),
    ] {
        let mut finding = event("guardduty-s3-exfiltration");
        finding["detail"]["type"] = kind.into();
        assert_eq!(outcome(&finding).await, expected, "{kind}");
    }
    for (kind, expected) in
        [("TTPs/Impact:S3-ObjectsHeldForRansom", "unreadable"), ("TTPs/Impact:S3-DataDestruction", "ignored")]
    {
        let mut finding = event("security-hub-imported");
        finding["detail"]["findings"][0]["Types"] = json!([kind]);
        finding["detail"]["findings"][0]["FindingProviderFields"] = Value::Null;
        assert_eq!(outcome(&finding).await, expected, "{kind}");
    }
}

/// A bus of another account forwards what it got. Its `account` is set by AWS.
#[tokio::test(start_paused = true)]
async fn forwarded_finding_on_third_account_is_refused() {
    const SENDER: &str = "111122223333";
    const THIRD: &str = "777788889999";
    let own = "012345678912";
    let finding = |sender: &str, subject: &str| {
        let mut event = event("guardduty-s3-exfiltration");
        (event["account"], event["detail"]["accountId"]) = (sender.into(), subject.into());
        event
    };
    for (sender, subject, refused) in [
        (SENDER, THIRD, true),
        (SENDER, SENDER, false),
        (SENDER, own, false),
        // The delegated administrator gets the findings of its members.
        (own, THIRD, false),
    ] {
        let (outcomes, deleted) = outcomes(&finding(sender, subject)).await;
        assert_eq!((outcomes[0] == "unreadable", deleted), (refused, !refused), "{sender} on {subject}: {outcomes:?}");
    }
    let answer = Scene::with_key_on_photos().await.respond(&finding(SENDER, THIRD)).await;
    assert!(answer.message().contains(SENDER) && answer.message().contains(THIRD), "{}", answer.message());
    let mut imported = event("security-hub-imported");
    (imported["account"], imported["detail"]["findings"][0]["AwsAccountId"]) = (SENDER.into(), THIRD.into());
    let mut ocsf = event("security-hub-v2");
    ocsf["account"] = SENDER.into();
    ocsf["detail"]["findings"][0]["cloud"]["account"]["uid"] = THIRD.into();
    let mut health = event("health-credentials-exposed");
    (health["account"], health["detail"]["affectedAccount"]) = (SENDER.into(), THIRD.into());
    for event in [imported, ocsf, health] {
        assert_eq!(outcome(&event).await, "unreadable", "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn receive_count_is_recorded() {
    let scene = Scene::with(Settings::default(), &[]).await;
    for (attributes, expected) in [
        (json!({"ApproximateReceiveCount": "3"}), json!(3)),
        (json!({"ApproximateReceiveCount": "many"}), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let mut event = queued("ALARM");
        event["Records"][0]["attributes"] = attributes;
        let (lines, _) = scene.deliver(&event).await;
        assert_eq!(lines[0]["audit"]["unmapped"]["invocation"]["receive_count"], expected);
    }
    let answer = scene.respond(&event("manual")).await;
    assert_eq!(answer.unmapped("/invocation/receive_count"), &Value::Null);
}
