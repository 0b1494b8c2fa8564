//! Tests of `revoked`: the function deleted the key, the operation succeeded, and a read shows that the key is gone.

use std::time::Duration;

use lightsail_simulator::{Fault, Script, Seed, SeedKey, Settings};
use serde_json::json;
use tokio::time::Instant;

use crate::scene::{KEY, SIBLING, Scene, event, manual_event, seen_first};

#[tokio::test(start_paused = true)]
async fn delete_is_first_request() {
    let scene = Scene::with_key_on_photos().await;
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.operations()[0], "DeleteBucketAccessKey");
    assert_eq!((scene.count("DeleteBucketAccessKey"), scene.count("GetOperation")), (1, 1));
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn evidence_is_read_concurrently_with_delete() {
    let used = chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    let scene = Scene::new().await;
    let key = SeedKey::new(KEY).created_at(used).last_used(used, "eu-west-1", "s3");
    scene.simulator.seed(Seed::bucket("us-east-1", "photos").key(key)).unwrap();
    // The delete takes 200 ms, so that the concurrent read still sees the key.
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 200 }));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.operations()[..2], ["DeleteBucketAccessKey", "GetBucketAccessKeys"]);
    assert_eq!(answer.unmapped("/access_key/evidence"), "listed");
    assert_eq!(answer.unmapped("/access_key/created_at"), "2026-11-18T11:06:40Z");
    assert_eq!(answer.unmapped("/access_key/last_used/service"), "s3");
    assert!(answer.message().ends_with("last used 2026-11-18T11:06:40Z with s3 in eu-west-1"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn missing_evidence_delays_nothing_and_is_recorded() {
    for (fault, expected) in [(Fault::HangBefore, "unavailable"), (Fault::Latency { ms: 0 }, "already_gone")] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("GetBucketAccessKeys", fault));
        // The slow operation makes sure that the first read is the one that runs concurrently with the delete.
        let scene = scene.scripted(Script::new("GetOperation", Fault::Latency { ms: 200 }));
        let started = Instant::now();
        let answer = scene.respond(&manual_event()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/access_key/evidence")), ("revoked", &json!(expected)));
        assert!(answer.message().contains("its last use is not known"), "{}", answer.message());
        assert_eq!(answer.unmapped("/access_key/created_at"), &json!(null));
        assert_eq!(answer.unmapped("/bucket/remaining_keys"), 1);
        // A single attempt may take three seconds.
        assert!(started.elapsed() < Duration::from_secs(2), "{expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn unsent_delete_has_no_evidence() {
    let answer = Scene::with_key_on_photos().await.unreachable().respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/access_key/evidence")), ("failed", &json!(null)));
}

#[tokio::test(start_paused = true)]
async fn delete_uses_region_of_alert() {
    let scene = Scene::new().await.seeded("eu-central-1", "photos", &[KEY]);
    let answer = scene.respond(&event("exposed-key-event")).await;
    assert_eq!(answer.outcome(), "revoked");
    let first = scene.first_request();
    assert_eq!((first.operation.as_str(), first.region.as_str()), ("DeleteBucketAccessKey", "eu-central-1"));
}

#[tokio::test(start_paused = true)]
async fn delete_without_region_uses_own_region() {
    let scene = Scene::with_key_on_photos().await;
    let answer = scene.respond(&json!({"accessKeyId": KEY, "bucketName": "photos"})).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.first_request().region, "us-east-1");
}

#[tokio::test(start_paused = true)]
async fn each_named_bucket_is_tried() {
    let scene = Scene::with_key_on_photos().await.seeded("us-east-1", "logs", &["AKIAQQQQQQQQQQQQQQQQ"]);
    let scene = scene.scripted(seen_first().times(3));
    let mut finding = event("guardduty-s3-exfiltration");
    finding["detail"]["resource"]["s3BucketDetails"] =
        json!([{"name": "not.a.lightsail.bucket"}, {"name": "elsewhere"}, {"name": "logs"}, {"name": "photos"}]);
    let answer = scene.respond(&finding).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(answer.unmapped("/bucket/name"), "photos");
    assert_eq!(answer.unmapped("/bucket/found_by"), "alert");
    assert_eq!(answer.unmapped("/alert/ignored_fields").as_array().unwrap().len(), 1);
    assert_eq!(scene.count("DeleteBucketAccessKey"), 3);
    assert_eq!(scene.count("GetBuckets"), 0);
    assert_eq!(scene.keys("us-east-1", "logs").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pending_operation_is_polled_to_its_end() {
    let scene = Scene::with_key_on_photos()
        .await
        .scripted(Script::new("DeleteBucketAccessKey", Fault::OperationPending { polls: 4 }));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.count("GetOperation"), 5);
    assert_eq!(answer.unmapped("/operations/0/status"), "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn finished_operation_is_not_polled() {
    let scene = Scene::with(Settings { done_at_poll: 0, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.count("GetOperation"), 0);
    assert_eq!(answer.unmapped("/bucket/remaining_keys"), 0);
}

#[tokio::test(start_paused = true)]
async fn listed_key_is_read_until_gone() {
    let scene = Scene::with_key_on_photos()
        .await
        .scripted(Script::new("DeleteBucketAccessKey", Fault::StillListed { reads: 3 }));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    // The read that runs concurrently with the delete may be one of the three.
    assert!(answer.unmapped("/verification/reads").as_u64().unwrap() >= 3);
    assert_eq!(answer.unmapped("/verification/absent"), true);
}

#[tokio::test(start_paused = true)]
async fn failed_poll_is_retried() {
    for fault in [Fault::ServiceException, Fault::EmptyAnswer, Fault::ResetBefore] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("GetOperation", fault));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), "revoked");
        assert_eq!(answer.unmapped("/failure"), &json!(null));
    }
}

#[tokio::test(start_paused = true)]
async fn sighted_delete_needs_no_search() {
    for fault in [Fault::Latency { ms: 0 }, Fault::NoOperations, Fault::EmptyAnswer] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new("DeleteBucketAccessKey", fault.clone()).late_by(200));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), "revoked", "{fault:?}");
        assert_eq!(scene.count("GetBuckets"), 0, "{fault:?}");
        assert!(answer.message().contains("seen before the delete, absent when read back"), "{}", answer.message());
    }
}

/// An accepted delete is no sighting, even with an operation that succeeded.
#[tokio::test(start_paused = true)]
async fn unsighted_delete_needs_complete_search() {
    let scene = Scene::with_key_on_photos().await;
    // The read that runs concurrently with the delete comes too late for a sighting.
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(answer.unmapped("/search/regions_read"), 19);
    assert!(answer.message().contains("The key was not seen there before the delete"), "{}", answer.message());
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).in_region("sa-east-1").every());
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "unconfirmed");
    assert!(answer.message().contains("not read: sa-east-1"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn unsighted_delete_without_operation_is_absent() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::NoOperations));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "already_absent");
    assert!(answer.message().contains("a delete by this function, whose result is not known"), "{}", answer.message());
    assert!(!scene.keys("us-east-1", "photos").contains(&KEY.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn record_names_bucket_with_accepted_delete() {
    let scene = Scene::with_key_on_photos().await.seeded("us-east-1", "logs", &["AKIAQQQQQQQQQQQQQQQQ"]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::NoOperations).late_by(200));
    let mut finding = event("guardduty-s3-exfiltration");
    finding["detail"]["resource"]["s3BucketDetails"] = json!([{"name": "photos"}, {"name": "logs"}]);
    let answer = scene.respond(&finding).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("photos")));
    assert_eq!(scene.count("DeleteBucketAccessKey"), 1);
}

#[tokio::test(start_paused = true)]
async fn transient_delete_faults_are_retried() {
    for fault in [
        Fault::Throttled,
        Fault::ServiceException,
        Fault::HttpStatus { status: 503 },
        Fault::ResetBefore,
        Fault::error("TooManyRequestsException"),
    ] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new("DeleteBucketAccessKey", fault.clone()).times(2));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), "revoked", "{fault:?}");
        assert_eq!(scene.count("DeleteBucketAccessKey"), 3, "{fault:?}");
        assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    }
}
