//! What the operator forbids is not done, whatever an alert says.

use lightsail_simulator::{Fault, Script, Seed, Settings};
use serde_json::json;

use crate::scene::{KEY, SIBLING, Scene, by_hand, event, key_only};

async fn with_photos_protected() -> Scene {
    let scene = Scene::with(Settings::default(), &[("PROTECTED_BUCKETS", "backups, photos")]).await;
    scene.seeded("us-east-1", "photos", &[KEY, SIBLING])
}

#[tokio::test]
async fn a_protected_bucket_keeps_its_keys_however_the_key_is_found() {
    for alert in [by_hand(), key_only(), event("guardduty-s3-exfiltration")] {
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

#[tokio::test]
async fn the_protection_of_one_bucket_is_none_of_another() {
    let scene = with_photos_protected().await.seeded("us-east-1", "photos", &[SIBLING]);
    let scene = scene.seeded("eu-west-1", "logs", &[KEY]);
    // The alert names the protected bucket, and the key is on another.
    let answer = scene.respond(&by_hand()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("logs")));
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn a_protected_bucket_that_cannot_be_read_is_an_error() {
    let scene = with_photos_protected().await;
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
}

#[tokio::test]
async fn a_bucket_with_the_tag_keeps_its_keys_after_a_search() {
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

#[tokio::test]
async fn a_delete_that_iam_denies_for_the_tag_is_told_as_protected() {
    let scene = Scene::new().await;
    let bucket = Seed::bucket("us-east-1", "photos").key(KEY).tag("responder:protect", "true");
    scene.simulator.seed(bucket).unwrap();
    // What the template's policy makes IAM say; the simulator has no IAM.
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::AccessDenied));
    let answer = scene.respond(&by_hand()).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("protected", "Responder.Protected"));
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY]);
}

#[tokio::test]
async fn a_dry_run_says_of_a_tagged_bucket_that_it_is_protected() {
    let scene = Scene::new().await;
    let bucket = Seed::bucket("us-east-1", "photos").key(KEY).tag("responder:protect", "true");
    scene.simulator.seed(bucket).unwrap();
    let wish = json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": true});
    assert_eq!(scene.respond(&wish).await.outcome(), "protected");
}

#[tokio::test]
async fn a_direct_invocation_can_ask_for_a_dry_run() {
    let scene = Scene::with_key_on_photos().await;
    for wish in [
        json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": true}),
        json!({"accessKeyId": KEY, "dryRun": true}),
    ] {
        let answer = scene.respond(&wish).await;
        assert_eq!((answer.outcome(), answer.unmapped("/mode")), ("dry_run", &json!("dry_run")));
    }
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
}

#[tokio::test]
async fn nobody_can_ask_for_less_caution_than_is_configured() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let answer = scene.respond(&json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": false})).await;
    assert_eq!(answer.outcome(), "dry_run");
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY]);
}

#[tokio::test]
async fn a_wish_for_a_dry_run_does_not_hold_up_an_alert_that_comes_with_it() {
    let scene = Scene::with_key_on_photos().await;
    let wish = json!({"accessKeyId": KEY, "bucketName": "photos", "dryRun": true});
    let answer = scene.respond(&json!([wish, event("guardduty-s3-exfiltration")])).await;
    assert_eq!((answer.outcome(), answer.unmapped("/mode")), ("revoked", &json!("enforce")));
}
