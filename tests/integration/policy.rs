//! Tests of the operator's policy: no alert can override it.

use lightsail_simulator::{Fault, Script, Seed, Settings};
use serde_json::json;

use crate::scene::{KEY, SIBLING, Scene, event, key_only, manual_event};

async fn with_photos_protected() -> Scene {
    let scene = Scene::with(Settings::default(), &[("PROTECTED_BUCKETS", "backups, photos")]).await;
    scene.seeded("us-east-1", "photos", &[KEY, SIBLING])
}

#[tokio::test(start_paused = true)]
async fn protected_bucket_keeps_its_keys() {
    for alert in [manual_event(), key_only(), event("guardduty-s3-exfiltration")] {
        let scene = with_photos_protected().await;
        let answer = scene.respond(&alert).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("protected", "Responder.Protected"));
        assert!(
            answer.message().contains("bucket photos in us-east-1 is in PROTECTED_BUCKETS"),
            "{}",
            answer.message()
        );
        assert_eq!(answer.unmapped("/access_key/status"), "Active");
        assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
        assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING]);
    }
}

#[tokio::test(start_paused = true)]
async fn protection_covers_only_named_bucket() {
    let scene = with_photos_protected().await.seeded("us-east-1", "photos", &[SIBLING]);
    let scene = scene.seeded("eu-west-1", "logs", &[KEY]);
    // The alert names the protected bucket, but the key is on another bucket.
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("logs")));
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn unreadable_protected_bucket_is_failed() {
    let scene = with_photos_protected().await;
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
}

#[tokio::test(start_paused = true)]
async fn tagged_bucket_found_by_search_keeps_its_keys() {
    let scene = Scene::new().await;
    let bucket = Seed::bucket("eu-west-1", "photos").key(KEY).tag("responder:protect", "true");
    scene.simulator.seed(bucket).unwrap();
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("protected", "Responder.Protected"));
    assert!(
        answer.message().contains("photos in eu-west-1 has the tag responder:protect=true"),
        "{}",
        answer.message()
    );
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
}

#[tokio::test(start_paused = true)]
async fn delete_denied_for_tag_is_protected() {
    let scene = Scene::new().await;
    let bucket = Seed::bucket("us-east-1", "photos").key(KEY).tag("responder:protect", "true");
    scene.simulator.seed(bucket).unwrap();
    // With the template's policy, IAM denies this call. The simulator has no IAM, so a script denies it.
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::AccessDenied));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("protected", "Responder.Protected"));
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY]);
}

#[tokio::test(start_paused = true)]
async fn dry_run_on_tagged_bucket_is_protected() {
    let scene = Scene::new().await;
    let bucket = Seed::bucket("us-east-1", "photos").key(KEY).tag("responder:protect", "true");
    scene.simulator.seed(bucket).unwrap();
    let request = json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": true});
    assert_eq!(scene.respond(&request).await.outcome(), "protected");
}

#[tokio::test(start_paused = true)]
async fn manual_event_can_request_dry_run() {
    let scene = Scene::with_key_on_photos().await;
    for request in [
        json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": true}),
        json!({"accessKeyId": KEY, "dryRun": true}),
    ] {
        let answer = scene.respond(&request).await;
        assert_eq!((answer.outcome(), answer.unmapped("/mode")), ("dry_run", &json!("dry_run")));
    }
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
}

#[tokio::test(start_paused = true)]
async fn manual_event_cannot_override_dry_run() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let answer = scene.respond(&json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": false})).await;
    assert_eq!(answer.outcome(), "dry_run");
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY]);
}

#[tokio::test(start_paused = true)]
async fn dry_run_request_does_not_block_alert_beside_it() {
    let scene = Scene::with_key_on_photos().await;
    let request = json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": true});
    let answer = scene.respond(&json!([request, event("guardduty-s3-exfiltration")])).await;
    assert_eq!((answer.outcome(), answer.unmapped("/mode")), ("revoked", &json!("enforce")));
}
