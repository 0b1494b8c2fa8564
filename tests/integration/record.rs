//! The record, as it leaves the house: its paths are an interface.
//!
//! What differs between runs is replaced by a constant of the same type, so that the snapshots are valid OCSF too; the
//! emulator's tests hold them against the published schema.

use std::time::Duration;

use lightsail_simulator::{Fault, Script, Seed, SeedKey, Settings};
use serde_json::{Value, json};

use crate::scene::{Answer, KEY, MEMBER, SIBLING, Scene, event, key_only, manual_event, seen_first};

/// Replaces times, IDs and durations by constants.
fn stable(mut value: Value) -> Value {
    let uuid = json!("11111111-2222-4333-8444-555555555555");
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                let of_ours = member.as_str().is_some_and(|text| text.len() == 36 && text.matches('-').count() == 4);
                *member = match (name.as_str(), member.take()) {
                    (_, Value::Null) => Value::Null,
                    ("time", _) => json!(1_795_489_012_174_i64),
                    ("created_at" | "status_changed_at" | "at", _) => json!("2026-11-24T03:00:12.174Z"),
                    (
                        "delete_first_sent" | "delete_sent" | "delete_accepted" | "verified" | "alert_to_invocation",
                        _,
                    ) => json!(7),
                    ("message", Value::String(text)) => json!(without_elapsed(&text)),
                    (_, other) if of_ours && name != "original_event_uid" && name != "event_id" => {
                        let _ = other;
                        uuid.clone()
                    }
                    (_, other) => stable(other),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = stable(item.take())),
        _ => {}
    }
    value
}

fn without_elapsed(message: &str) -> String {
    match message.split_once(" ms after") {
        Some((before, after)) => format!("{}7 ms after{after}", before.trim_end_matches(|c: char| c.is_ascii_digit())),
        None => message.to_owned(),
    }
}

/// Snapshots the record of `answer` under `name`, which begins with its outcome.
fn snapshot(name: &str, answer: Answer) {
    assert!(name.starts_with(answer.outcome()), "{name} is a record of outcome {}", answer.outcome());
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_json_snapshot!(name, stable(answer.record)));
}

#[tokio::test(start_paused = true)]
async fn revoked_by_name() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(seen_first());
    snapshot("revoked_by_name", scene.respond(&event("guardduty-s3-exfiltration")).await);
}

/// The delete was faster than the read beside it.
#[tokio::test(start_paused = true)]
async fn revoked_unseen() {
    let scene = Scene::with_key_on_photos().await;
    snapshot("revoked_unseen", scene.respond(&event("guardduty-s3-exfiltration")).await);
}

#[tokio::test(start_paused = true)]
async fn revoked_by_search() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY, SIBLING]);
    snapshot("revoked_by_search", scene.respond(&event("guardduty-iam-compromised-credentials")).await);
}

#[tokio::test(start_paused = true)]
async fn already_absent() {
    let scene = Scene::new().await.seeded("eu-central-1", "photos", &[SIBLING]);
    snapshot("already_absent", scene.respond(&event("exposed-key-event")).await);
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]);
    snapshot("already_absent_manual_event", scene.respond(&manual_event()).await);
}

#[tokio::test(start_paused = true)]
async fn not_lightsail_key() {
    snapshot("not_lightsail_key", Scene::new().await.respond(&key_only()).await);
    snapshot("not_lightsail_key_bucket_missing", Scene::new().await.respond(&manual_event()).await);
}

/// The record describes the bucket that exists, wherever the alert names it.
#[tokio::test(start_paused = true)]
async fn record_does_not_depend_on_order_of_hints() {
    let record = async |buckets: [&str; 2]| {
        let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]);
        let mut finding = event("guardduty-s3-exfiltration");
        finding["detail"]["resource"]["s3BucketDetails"] = json!(buckets.map(|name| json!({"name": name})));
        stable(scene.respond(&finding).await.record)
    };
    let record_of_first = record(["photos", "not-ours"]).await;
    assert_eq!(record_of_first["status_code"], "already_absent");
    assert_eq!(record_of_first["unmapped"]["bucket"]["name"], "photos");
    assert_eq!(record_of_first["unmapped"]["verification"]["absent"], true);
    assert_eq!(record(["not-ours", "photos"]).await, record_of_first);
}

/// The first attempt is lost after 200 ms. Backoff and the network come on top of that.
#[tokio::test(start_paused = true)]
async fn delete_sent_is_answered_attempt() {
    let lost = || Script::new("DeleteBucketAccessKey", Fault::ResetBefore).late_by(200);
    let answer = Scene::with_key_on_photos().await.scripted(lost()).respond(&manual_event()).await;
    let at = |answer: &Answer, name: &str| answer.unmapped("/timing_ms")[name].as_u64();
    let [first, sent, accepted] =
        ["delete_first_sent", "delete_sent", "delete_accepted"].map(|name| at(&answer, name).unwrap());
    assert!(first < 200 && sent >= first + 200 && accepted >= sent, "{first}, {sent}, {accepted}");

    let scene = Scene::with_key_on_photos().await.scripted(lost().every());
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), at(&answer, "delete_sent")), ("failed", None));
    assert!(at(&answer, "delete_first_sent").is_some_and(|first| first < 200));
}

/// The search finds the key after a delete on the wrong bucket.
#[tokio::test(start_paused = true)]
async fn delete_sent_is_of_record_bucket() {
    let settings = Settings { latency_ms: 50, ..Settings::default() };
    let scene = Scene::with(settings, &[]).await.seeded("us-east-1", "photos", &[SIBLING]);
    let answer = scene.seeded("eu-west-1", "backups", &[KEY]).respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
    let [first, sent] = ["delete_first_sent", "delete_sent"].map(|name| answer.unmapped("/timing_ms")[name].as_u64());
    assert!(sent.unwrap() >= first.unwrap() + 100, "{first:?}, {sent:?}");
}

/// Security Hub finds the finding by its exact ID, however much of it looks like a secret.
#[tokio::test(start_paused = true)]
async fn alert_ids_are_exact() {
    let arn = "arn:aws:securityhub:us-east-1:012345678912:product/012345678912/default/";
    for id in [
        format!("{arn}wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        format!("{arn}{}", "Ab3/".repeat(110)),
        format!("{}\u{e9}", "x".repeat(511)),
    ] {
        assert!(id.chars().count() <= 512);
        let mut alert = event("security-hub-imported");
        alert["detail"]["findings"][0]["Id"] = json!(id);
        let record = Scene::with_key_on_photos().await.respond(&alert).await.record;
        assert_eq!(record["metadata"]["correlation_uid"], id);
        assert_eq!(record["unmapped"]["alert"]["id"], id);
        assert_eq!(record["unmapped"]["alert"]["product_arn"], alert["detail"]["findings"][0]["ProductArn"]);
    }
}

/// CloudTrail is searched with these IDs.
#[tokio::test(start_paused = true)]
async fn request_uid_is_never_of_failed_read() {
    for (delete, is_answered) in [(Fault::NotFound, true), (Fault::HangAfter, false)] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new("DeleteBucketAccessKey", delete).every());
        let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
        let answer = scene.respond(&manual_event()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("failed", &json!("photos")));
        let record = &answer.record;
        assert_eq!(record["api"]["operation"], "DeleteBucketAccessKey");
        assert_eq!(record.pointer("/api/request/uid").is_some(), is_answered, "{record}");
        assert_eq!(record["command_uid"] == "invocation-1", !is_answered, "{record}");
        if answer.unmapped("/failure/operation") == "GetBucketAccessKeys" {
            assert_ne!(&record["command_uid"], answer.unmapped("/failure/request_id"));
        }
    }
}

/// Of two named buckets one is protected, so that the only delete is that on the other one.
#[tokio::test(start_paused = true)]
async fn api_is_never_of_delete_on_another_bucket() {
    let scene = Scene::with(Settings::default(), &[("PROTECTED_BUCKETS", "photos")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]).seeded("us-east-1", "logs", &[SIBLING]);
    let mut finding = event("guardduty-s3-exfiltration");
    finding["detail"]["resource"]["s3BucketDetails"] = json!([{"name": "logs"}, {"name": "photos"}]);
    let answer = scene.respond(&finding).await;
    assert_eq!((answer.outcome(), scene.count("DeleteBucketAccessKey")), ("protected", 1));
    assert_eq!(answer.unmapped("/bucket/name"), "photos");
    assert_eq!(answer.record.get("api"), None);
    assert_eq!(answer.record["command_uid"], "invocation-1");
}

/// No bucket of the record, no ID of a delete: the failure has it.
#[tokio::test(start_paused = true)]
async fn request_uid_needs_bucket() {
    let answer = Scene::new().await.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket")), ("not_lightsail_key", &json!(null)));
    assert_eq!(answer.record["api"], json!({"operation": "DeleteBucketAccessKey", "service": {"name": "lightsail"}}));
    assert_eq!(answer.record["command_uid"], "invocation-1");
    assert!(answer.unmapped("/failure/request_id").is_string());
}

/// The response to the delete is lost, and the second attempt finds the key gone. AWS has forgotten its last use then.
#[tokio::test(start_paused = true)]
async fn evidence_beside_lost_delete_is_kept() {
    let scene = Scene::with_key_on_photos().await;
    let lost = Script::new("DeleteBucketAccessKey", Fault::ResetAfter).late_by(200);
    let answer = scene.scripted(lost).respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/verification/absent")), ("already_absent", &json!(true)));
    assert_eq!(answer.unmapped("/access_key/evidence"), "listed");
    assert_eq!(answer.unmapped("/access_key/status"), "Active");
}

/// The key of the record is on one bucket only, and the search saw it there.
#[tokio::test(start_paused = true)]
async fn evidence_is_of_bucket_that_search_found() {
    let used = chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]);
    let key = SeedKey::new(KEY).created_at(used).last_used(used, "eu-west-1", "s3");
    scene.simulator.seed(Seed::bucket("eu-west-1", "backups").key(key)).unwrap();
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
    assert_eq!(answer.unmapped("/access_key/evidence"), "listed");
    assert_eq!(answer.unmapped("/access_key/created_at"), "2026-11-18T11:06:40Z");
    assert_eq!(answer.unmapped("/access_key/last_used/region"), "eu-west-1");
}

#[tokio::test(start_paused = true)]
async fn ignored() {
    snapshot("ignored", Scene::new().await.respond(&event("guardduty-sample")).await);
}

#[tokio::test(start_paused = true)]
async fn dry_run() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    snapshot("dry_run", scene.seeded("us-east-1", "photos", &[KEY]).respond(&manual_event()).await);
}

#[tokio::test(start_paused = true)]
async fn protected() {
    let scene = Scene::with(Settings::default(), &[("PROTECTED_BUCKETS", "photos")]).await;
    snapshot("protected", scene.seeded("us-east-1", "photos", &[KEY]).respond(&manual_event()).await);
}

#[tokio::test(start_paused = true)]
async fn revoked_in_a_member_account() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "backups", &[KEY, SIBLING]);
    snapshot("revoked_in_a_member_account", scene.respond(&key_only()).await);
}

#[tokio::test(start_paused = true)]
async fn unreadable() {
    let scene = Scene::new().await;
    snapshot("unreadable", scene.respond(&event("manual-malformed-key")).await);
    snapshot("unreadable_not_json", scene.respond_text_within("{", Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn wrong_account() {
    snapshot("wrong_account", Scene::new().await.respond(&event("guardduty-other-account")).await);
}

#[tokio::test(start_paused = true)]
async fn search_incomplete() {
    let scene = Scene::new().await;
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).every().in_region("eu-west-3"));
    snapshot("search_incomplete", scene.respond(&key_only()).await);
}

#[tokio::test(start_paused = true)]
async fn unconfirmed() {
    let scene = Scene::with_key_on_photos().await.scripted(Script::new("GetOperation", Fault::AccessDenied).every());
    let scene = scene.scripted(seen_first());
    snapshot("unconfirmed", scene.respond(&manual_event()).await);
}

#[tokio::test(start_paused = true)]
async fn failed() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::operation_failed()));
    snapshot("failed", scene.respond(&manual_event()).await);
}
