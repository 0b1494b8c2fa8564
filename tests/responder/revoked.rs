//! `revoked`: we deleted it, the operation ended well, and a read shows it gone.

use std::time::{Duration, Instant};

use lightsail_simulator::{Fault, Script, Seed, SeedKey, Settings};
use serde_json::json;

use crate::scene::{KEY, SIBLING, Scene, by_hand, event};

#[tokio::test]
async fn the_delete_is_the_first_request_on_the_wire() {
    let scene = Scene::with_key_on_photos().await;
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.operations()[0], "DeleteBucketAccessKey");
    assert_eq!((scene.count("DeleteBucketAccessKey"), scene.count("GetOperation")), (1, 1));
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn evidence_is_read_beside_the_delete() {
    let used = chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    let scene = Scene::new().await;
    let key = SeedKey::new(KEY).created_at(used).last_used(used, "eu-west-1", "s3");
    scene.simulator.seed(Seed::bucket("us-east-1", "photos").key(key)).unwrap();
    // AWS takes its time for the delete, and so the key is still there to be seen.
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 200 }));
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.operations()[..2], ["DeleteBucketAccessKey", "GetBucketAccessKeys"]);
    assert_eq!(answer.unmapped("/access_key/evidence"), "listed");
    assert_eq!(answer.unmapped("/access_key/created_at"), "2026-11-18T11:06:40Z");
    assert_eq!(answer.unmapped("/access_key/last_used/service"), "s3");
    assert!(answer.message().ends_with("last used 2026-11-18T11:06:40Z with s3 in eu-west-1"), "{}", answer.message());
}

#[tokio::test]
async fn evidence_that_does_not_come_holds_nothing_up_and_its_absence_is_said() {
    for (fault, says) in [(Fault::HangBefore, "unavailable"), (Fault::Latency { ms: 0 }, "already_gone")] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("GetBucketAccessKeys", fault));
        // The operation is followed until the first read has come: it is the one beside the delete.
        let scene = scene.scripted(Script::new("GetOperation", Fault::Latency { ms: 200 }));
        let started = Instant::now();
        let answer = scene.respond(&by_hand()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/access_key/evidence")), ("revoked", &json!(says)));
        assert!(answer.message().contains("its last use is not known"), "{}", answer.message());
        assert_eq!(answer.unmapped("/access_key/created_at"), &json!(null));
        assert_eq!(answer.unmapped("/bucket/remaining_keys"), 1);
        // One attempt alone may take three seconds.
        assert!(started.elapsed() < Duration::from_secs(2), "{says}");
    }
}

#[tokio::test]
async fn a_delete_that_is_never_sent_is_followed_by_no_evidence_of_it() {
    let answer = Scene::with_key_on_photos().await.unreachable().respond(&by_hand()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/access_key/evidence")), ("failed", &json!(null)));
}

#[tokio::test]
async fn it_goes_to_the_region_that_the_alert_names() {
    let scene = Scene::new().await.seeded("eu-central-1", "photos", &[KEY]);
    let answer = scene.respond(&event("exposed-key-event")).await;
    assert_eq!(answer.outcome(), "revoked");
    let first = scene.first_request();
    assert_eq!((first.operation.as_str(), first.region.as_str()), ("DeleteBucketAccessKey", "eu-central-1"));
}

#[tokio::test]
async fn without_a_region_it_goes_to_the_functions_own() {
    let scene = Scene::with_key_on_photos().await;
    let answer = scene.respond(&json!({"accessKeyId": KEY, "bucketName": "photos"})).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.first_request().region, "us-east-1");
}

#[tokio::test]
async fn every_bucket_that_the_alert_names_is_tried() {
    let scene = Scene::with_key_on_photos().await.seeded("us-east-1", "logs", &["AKIAQQQQQQQQQQQQQQQQ"]);
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

#[tokio::test]
async fn an_operation_is_followed_for_as_long_as_it_takes() {
    let scene = Scene::with_key_on_photos()
        .await
        .scripted(Script::new("DeleteBucketAccessKey", Fault::OperationPending { polls: 4 }));
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.count("GetOperation"), 5);
    assert_eq!(answer.unmapped("/operations/0/status"), "Succeeded");
}

#[tokio::test]
async fn an_operation_that_has_ended_already_is_not_asked_for() {
    let scene = Scene::with(Settings { done_at_poll: 0, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(scene.count("GetOperation"), 0);
    assert_eq!(answer.unmapped("/bucket/remaining_keys"), 0);
}

#[tokio::test]
async fn a_key_that_is_still_listed_is_read_again_until_it_is_gone() {
    let scene = Scene::with_key_on_photos()
        .await
        .scripted(Script::new("DeleteBucketAccessKey", Fault::StillListed { reads: 3 }));
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    // The read beside the delete may have been one of the three.
    assert!(answer.unmapped("/verification/reads").as_u64().unwrap() >= 3);
    assert_eq!(answer.unmapped("/verification/absent"), true);
}

#[tokio::test]
async fn a_failed_look_at_the_operation_is_repeated() {
    for fault in [Fault::ServiceException, Fault::EmptyAnswer, Fault::ResetBefore] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("GetOperation", fault));
        let answer = scene.respond(&by_hand()).await;
        assert_eq!(answer.outcome(), "revoked");
        assert_eq!(answer.unmapped("/failure"), &json!(null));
    }
}

#[tokio::test]
async fn an_accepted_delete_without_an_operation_is_believed_only_after_a_complete_search() {
    for fault in [Fault::NoOperations, Fault::EmptyAnswer] {
        let seen_before = Script::new("DeleteBucketAccessKey", fault).late_by(200);
        let scene = Scene::with_key_on_photos().await.scripted(seen_before);
        let answer = scene.respond(&by_hand()).await;
        assert_eq!(answer.outcome(), "revoked");
        assert_eq!(answer.unmapped("/search/regions_read"), 19);
        assert_eq!(answer.unmapped("/operations"), &json!([]));
        assert!(answer.message().contains("AWS named no operation"), "{}", answer.message());
    }
}

#[tokio::test]
async fn an_accepted_delete_without_an_operation_of_a_key_that_nobody_saw_is_not_called_ours() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::NoOperations));
    // The read beside the delete comes too late to see it.
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "already_absent");
    assert!(answer.message().contains("a delete of ours whose end is not known"), "{}", answer.message());
    assert!(!scene.keys("us-east-1", "photos").contains(&KEY.to_owned()));
}

#[tokio::test]
async fn the_record_names_the_bucket_whose_delete_was_accepted_and_not_the_next_one() {
    let scene = Scene::with_key_on_photos().await.seeded("us-east-1", "logs", &["AKIAQQQQQQQQQQQQQQQQ"]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::NoOperations).late_by(200));
    let mut finding = event("guardduty-s3-exfiltration");
    finding["detail"]["resource"]["s3BucketDetails"] = json!([{"name": "photos"}, {"name": "logs"}]);
    let answer = scene.respond(&finding).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("photos")));
    assert_eq!(scene.count("DeleteBucketAccessKey"), 1);
}

#[tokio::test]
async fn what_goes_away_by_itself_is_tried_again_at_once() {
    for fault in [
        Fault::Throttled,
        Fault::ServiceException,
        Fault::HttpStatus { status: 503 },
        Fault::ResetBefore,
        Fault::error("TooManyRequestsException"),
    ] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new("DeleteBucketAccessKey", fault.clone()).times(2));
        let answer = scene.respond(&by_hand()).await;
        assert_eq!(answer.outcome(), "revoked", "{fault:?}");
        assert_eq!(scene.count("DeleteBucketAccessKey"), 3, "{fault:?}");
        assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    }
}
