//! Tests of `already_absent`, `not_lightsail_key`, `wrong_account`, `ignored` and `dry_run`: outcomes without a delete.

use lightsail_simulator::{Fault, Script, Settings};
use serde_json::json;

use crate::scene::{KEY, SIBLING, Scene, event, key_only, manual_event};

#[tokio::test(start_paused = true)]
async fn absent_key_is_no_error() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]);
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "already_absent");
    assert!(answer.result.is_ok());
    assert_eq!(answer.unmapped("/search/regions_read"), 19);
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn repeated_alert_is_already_absent() {
    let scene = Scene::with_key_on_photos().await;
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked");
    let again = scene.respond(&manual_event()).await;
    assert_eq!(again.outcome(), "already_absent");
    assert_eq!(again.unmapped("/invocation/cold_start"), false);
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn duplicate_alert_waits_for_stale_list() {
    let scene = Scene::with(Settings::default(), &[("VERIFY_FOR", "0")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::StillListed { reads: 5 }));
    // The first invocation does not wait for verification, so the list still has the key afterwards.
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "unconfirmed");
    let waiting = scene.with_new_function(&[]);
    let answer = waiting.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "already_absent");
    assert!(answer.unmapped("/verification/reads").as_u64().unwrap() > 1);
}

/// The list of the key's bucket is stale: an earlier invocation has deleted the key.
#[tokio::test(start_paused = true)]
async fn key_gone_after_sighting_is_already_absent() {
    let scene = Scene::with(Settings::default(), &[("VERIFY_FOR", "0")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::StillListed { reads: 5 }));
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "unconfirmed");
    let answer = scene.with_new_function(&[]).respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/found_by")), ("already_absent", &json!("search")));
    let sighting =
        "of bucket photos in us-east-1 is already gone: the search saw it there, and a moment later it was not listed";
    assert!(answer.message().contains(sighting), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn lost_delete_response_is_resolved_by_reading() {
    for fault in [Fault::ResetAfter, Fault::Truncated, Fault::NotJson, Fault::HttpStatus { status: 502 }] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("DeleteBucketAccessKey", fault.clone()));
        let answer = scene.respond(&manual_event()).await;
        if scene.keys("us-east-1", "photos").contains(&KEY.to_owned()) {
            panic!("{fault:?}: the key is live, but the outcome is {}", answer.outcome());
        }
        assert!(matches!(answer.outcome(), "already_absent" | "revoked"), "{fault:?}: {}", answer.outcome());
        if answer.outcome() == "already_absent" {
            assert!(
                answer.message().contains("a delete by this function, whose result is not known"),
                "{}",
                answer.message()
            );
        }
    }
}

/// AWS may fail the operation of a delete whose key is gone: here by an attempt that got no response.
#[tokio::test(start_paused = true)]
async fn failed_repeat_of_lost_delete_is_resolved() {
    let settings = Settings { dialect: "absent-key=failed".parse().unwrap(), ..Settings::default() };
    let scene = Scene::with(settings, &[]).await.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    let lost = Script::new("DeleteBucketAccessKey", Fault::HangAfter).late_by(200);
    let scene = scene.scripted(lost);
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.unmapped("/access_key/evidence"), "listed", "seen before the delete");
    assert_eq!(answer.unmapped("/operations/0/status"), "Failed");
    assert_eq!(answer.outcome(), "already_absent", "{}", answer.message());
    assert!(answer.message().contains("a delete by this function, whose result is not known"), "{}", answer.message());
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn key_on_no_bucket_is_not_lightsail_key() {
    let scene = Scene::new().await.seeded("us-west-2", "photos", &[SIBLING]);
    for event in [key_only(), json!({"accessKeyId": KEY, "bucketName": "not-ours", "region": "eu-west-1"})] {
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "not_lightsail_key");
        assert!(answer.message().contains("may be live: look for it in IAM"), "{}", answer.message());
    }
    assert_eq!(scene.keys("us-west-2", "photos"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_duplicate_alerts_both_succeed() {
    let scene = Scene::new().await.seeded("eu-west-1", "photos", &[KEY, SIBLING]);
    let event = key_only();
    let (first, second) = tokio::join!(scene.concurrent_outcome(&event), scene.concurrent_outcome(&event));
    let mut outcomes = [first, second];
    outcomes.sort();
    assert!(outcomes == ["already_absent", "revoked"] || outcomes == ["revoked", "revoked"], "{outcomes:?}");
    assert_eq!(scene.keys("eu-west-1", "photos"), [SIBLING]);
}

/// The account of a finding is where the activity took place, and perhaps not the key's.
#[tokio::test(start_paused = true)]
async fn finding_of_other_account_is_searched_here() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY, SIBLING]);
    assert_eq!(scene.respond(&event("guardduty-other-account")).await.outcome(), "revoked");
    let answer = scene.respond(&event("guardduty-other-account")).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("wrong_account", "Responder.WrongAccount"));
    assert!(answer.message().contains("it may be in account 111122223333"), "{}", answer.message());
    assert_eq!(answer.unmapped("/search/unread/0/failure/kind"), "foreign_account");
}

#[tokio::test(start_paused = true)]
async fn unknown_own_account_refuses_alert_with_account() {
    let scene = Scene::with_key_on_photos().await;
    let invocation = scene.responder.invocation("invocation-1", "not an ARN", u64::MAX / 2);
    let event = json!({"accessKeyId": KEY, "bucketName": "photos", "accountId": "012345678912"}).to_string();
    let error = scene.responder.respond(&event, invocation).await.unwrap_err();
    assert_eq!(error.error_type, "Responder.WrongAccount");
    assert!(scene.operations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn alert_without_bucket_key_makes_no_call() {
    let scene = Scene::with_key_on_photos().await;
    for name in [
        "guardduty-sample",
        "guardduty-actor-only",
        "guardduty-temporary-credential",
        "guardduty-no-access-key",
        "manual-temporary-credential",
    ] {
        let answer = scene.respond(&event(name)).await;
        assert_eq!(answer.outcome(), "ignored", "{name}");
        assert!(answer.record.get("observables").is_none(), "{name}");
    }
    assert!(scene.operations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dry_run_deletes_nothing_and_records_plan() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    for event in [manual_event(), key_only()] {
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "dry_run");
        assert_eq!((&answer.record["status_id"], &answer.record["status"]), (&json!(99), &json!("DryRun")));
        assert_eq!(answer.unmapped("/mode"), "dry_run");
        assert_eq!(answer.unmapped("/access_key/status"), "Active");
    }
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn dry_run_without_read_access_is_failed() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "failed");
    assert!(answer.message().contains("nothing was deleted"), "{}", answer.message());
}
