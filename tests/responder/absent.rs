//! `already_absent`, `not_lightsail_key`, `wrong_account`, `ignored`, `dry_run`: nothing was there to delete, or nothing may be.

use lightsail_simulator::{Fault, Script, Settings};
use serde_json::json;

use crate::scene::{KEY, SIBLING, Scene, by_hand, event, key_only};

#[tokio::test]
async fn a_key_already_gone_is_not_an_error() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]);
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "already_absent");
    assert!(answer.result.is_ok());
    assert_eq!(answer.unmapped("/search/regions_read"), 19);
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn the_same_alert_again_finds_the_key_gone() {
    let scene = Scene::with_key_on_photos().await;
    assert_eq!(scene.respond(&by_hand()).await.outcome(), "revoked");
    let again = scene.respond(&by_hand()).await;
    assert_eq!(again.outcome(), "already_absent");
    assert_eq!(again.unmapped("/invocation/cold_start"), false);
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn a_copy_of_the_alert_waits_for_the_list_to_forget_a_key_that_another_has_deleted() {
    let scene = Scene::with(Settings::default(), &[("VERIFY_FOR", "0")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::StillListed { reads: 5 }));
    // The first does not wait, and so leaves it listed.
    assert_eq!(scene.respond(&by_hand()).await.outcome(), "unconfirmed");
    let patient = scene.again(&[]);
    let answer = patient.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "already_absent");
    assert!(answer.unmapped("/verification/reads").as_u64().unwrap() > 1);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_resolved_by_reading() {
    for fault in [Fault::ResetAfter, Fault::Truncated, Fault::NotJson, Fault::HttpStatus { status: 502 }] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("DeleteBucketAccessKey", fault.clone()));
        let answer = scene.respond(&by_hand()).await;
        if scene.keys("us-east-1", "photos").contains(&KEY.to_owned()) {
            panic!("{fault:?}: the key is alive, and the outcome is {}", answer.outcome());
        }
        assert!(matches!(answer.outcome(), "already_absent" | "revoked"), "{fault:?}: {}", answer.outcome());
        if answer.outcome() == "already_absent" {
            assert!(answer.message().contains("a delete of ours whose end is not known"), "{}", answer.message());
        }
    }
}

#[tokio::test]
async fn a_key_that_no_bucket_has_is_some_other_credential() {
    let scene = Scene::new().await.seeded("us-west-2", "photos", &[SIBLING]);
    for event in [key_only(), json!({"accessKeyId": KEY, "bucketName": "not-ours", "region": "eu-west-1"})] {
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "not_lightsail_key");
        assert!(answer.message().contains("may be live: look for it in IAM"), "{}", answer.message());
    }
    assert_eq!(scene.keys("us-west-2", "photos"), [SIBLING]);
}

#[tokio::test]
async fn a_key_that_a_copy_of_the_alert_deleted_first_is_gone_all_the_same() {
    let scene = Scene::new().await.seeded("eu-west-1", "photos", &[KEY, SIBLING]);
    let event = key_only();
    let (one, other) = tokio::join!(scene.outcome_beside_others(&event), scene.outcome_beside_others(&event));
    let mut outcomes = [one, other];
    outcomes.sort();
    assert!(outcomes == ["already_absent", "revoked"] || outcomes == ["revoked", "revoked"], "{outcomes:?}");
    assert_eq!(scene.keys("eu-west-1", "photos"), [SIBLING]);
}

#[tokio::test]
async fn an_alert_about_another_account_makes_no_call() {
    let scene = Scene::with_key_on_photos().await;
    let answer = scene.respond(&event("guardduty-other-account")).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("wrong_account", "Responder.WrongAccount"));
    assert!(answer.message().contains("about account 111122223333"), "{}", answer.message());
    assert!(scene.operations().is_empty());
}

#[tokio::test]
async fn a_function_that_does_not_know_its_account_leaves_alerts_about_accounts_alone() {
    let scene = Scene::with_key_on_photos().await;
    let invocation = scene.responder.invocation("invocation-1", "not an ARN", u64::MAX / 2);
    let event = event("guardduty-s3-exfiltration").to_string();
    let error = scene.responder.respond(&event, invocation).await.unwrap_err();
    assert_eq!(error.error_type, "Responder.WrongAccount");
    assert!(scene.operations().is_empty());
}

#[tokio::test]
async fn an_alert_that_exposes_no_bucket_key_makes_no_call() {
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

#[tokio::test]
async fn a_dry_run_deletes_nothing_and_says_what_it_would_have_done() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
    for event in [by_hand(), key_only()] {
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "dry_run");
        assert_eq!((&answer.record["status_id"], &answer.record["status"]), (&json!(99), &json!("DryRun")));
        assert_eq!(answer.unmapped("/mode"), "dry_run");
        assert_eq!(answer.unmapped("/access_key/status"), "Active");
    }
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING]);
}

#[tokio::test]
async fn a_dry_run_that_cannot_look_says_so() {
    let scene = Scene::with(Settings::default(), &[("RESPONDER_MODE", "dry_run")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "failed");
    assert!(answer.message().contains("nothing was deleted"), "{}", answer.message());
}
