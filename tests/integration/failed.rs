//! Tests of `failed` and `unconfirmed`: the key counts as live, Lambda gets an error, and the record lists the known
//! facts.

use std::time::Duration;

use futures_util::future::join_all;
use lightsail_simulator::{Fault, Member, Script, Settings};
use serde_json::json;
use tokio::time::Instant;

use crate::scene::{KEY, SIBLING, Scene, manual_event};

fn every(operation: &str, fault: Fault) -> Script {
    Script::new(operation, fault).every()
}

#[tokio::test(start_paused = true)]
async fn denied_calls_are_not_retried() {
    let scene = Scene::with_key_on_photos().await;
    let scene = ["DeleteBucketAccessKey", "GetBucketAccessKeys", "GetBuckets"]
        .into_iter()
        .fold(scene, |scene, operation| scene.scripted(every(operation, Fault::AccessDenied)));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("failed", "Responder.Failed"));
    // The function still searches for the key, because the named bucket may belong to another account. No request is
    // repeated.
    assert_eq!((scene.count("DeleteBucketAccessKey"), scene.count("GetBucketAccessKeys")), (1, 1));
    assert_eq!(scene.count("GetBuckets"), 19);
    let failure = answer.unmapped("/failure");
    assert_eq!(failure["operation"], "DeleteBucketAccessKey");
    assert_eq!(failure["code"], "AccessDeniedException");
    assert_eq!(failure["attempts"], 1);
    assert_eq!(failure["retryable"], false);
    assert_eq!(failure["may_have_taken_effect"], false);
    assert!(failure["request_id"].is_string());
    assert!(answer.message().contains("must be taken as live"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn refused_delete_of_listed_key_is_failed() {
    for fault in [
        Fault::AccessDenied,
        Fault::Unauthenticated,
        Fault::InvalidInput,
        Fault::RegionSetupInProgress,
        Fault::NotFound,
        Fault::error("ExpiredTokenException"),
        Fault::error("SomethingNewException"),
    ] {
        let scene = Scene::with(Settings::default(), &[("VERIFY_FOR", "0.5")]).await;
        let scene = scene.seeded("us-east-1", "photos", &[KEY, SIBLING]);
        let scene = scene.scripted(every("DeleteBucketAccessKey", fault.clone()));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), "failed", "{fault:?}");
        assert_eq!(scene.count("DeleteBucketAccessKey"), 1, "{fault:?}");
        assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), false, "{fault:?}");
        assert_eq!(answer.unmapped("/access_key/status"), "Active", "{fault:?}");
        assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_throttling_is_failed_after_five_attempts() {
    let scene = Scene::with_key_on_photos().await.scripted(every("DeleteBucketAccessKey", Fault::Throttled));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(scene.count("DeleteBucketAccessKey"), 5);
    assert_eq!(answer.unmapped("/failure/kind"), "throttled");
    assert_eq!(answer.unmapped("/failure/attempts"), 5);
    assert_eq!(answer.unmapped("/failure/retryable"), true);
    assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), false);
}

#[tokio::test(start_paused = true)]
async fn server_error_may_have_taken_effect() {
    let scene =
        Scene::with_key_on_photos().await.scripted(every("DeleteBucketAccessKey", Fault::HttpStatus { status: 500 }));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), true);
    assert!(answer.message().contains("; it is still listed. "), "{}", answer.message());
}

/// The message names the possible effect only if no read shows it.
#[tokio::test(start_paused = true)]
async fn lost_delete_without_read_may_have_taken_effect() {
    for (fault, effect) in [
        (Fault::HttpStatus { status: 500 }, "; the delete may have taken effect. "),
        (Fault::AccessDenied, "; nothing was deleted. "),
    ] {
        let scene = Scene::with_key_on_photos().await.scripted(every("DeleteBucketAccessKey", fault.clone()));
        let scene = scene.scripted(every("GetBucketAccessKeys", Fault::AccessDenied));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), "failed", "{fault:?}");
        assert!(answer.message().contains(effect), "{fault:?}: {}", answer.message());
    }
}

#[tokio::test(start_paused = true)]
async fn failed_operation_is_failed_with_its_error() {
    let fault = Fault::OperationFailed {
        code: Some("KeyInUse".to_owned()),
        details: Some("Try again later".to_owned()),
        key_stays: true,
    };
    let scene = Scene::with_key_on_photos().await.scripted(Script::new("DeleteBucketAccessKey", fault));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(answer.unmapped("/failure/kind"), "operation_failed");
    assert_eq!(answer.unmapped("/failure/code"), "KeyInUse");
    assert_eq!(answer.unmapped("/operations/0/error_details"), "Try again later");
    assert_eq!(answer.unmapped("/verification/absent"), false);
    assert_eq!(answer.unmapped("/verification/reads"), 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_operation_status_is_unconfirmed() {
    let ended_as = |status, is_terminal| Fault::OperationStatus { status, is_terminal };
    for fault in [
        ended_as(Member::Value("Abandoned".to_owned()), Member::Value(true)),
        ended_as(Member::Missing, Member::Value(true)),
        ended_as(Member::Value("Started".to_owned()), Member::Value(true)),
    ] {
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("DeleteBucketAccessKey", fault.clone()));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("unconfirmed", "Responder.Unconfirmed"), "{fault:?}");
        assert_eq!(answer.unmapped("/verification/absent"), true, "{fault:?}");
        assert!(answer.message().contains("the key is no longer listed"), "{}", answer.message());
        // Lambda's retry resolves it.
        assert_eq!(scene.respond(&manual_event()).await.outcome(), "already_absent", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn success_status_needs_no_is_terminal() {
    for is_terminal in [Member::Missing, Member::Value(false)] {
        let status = Member::Value("Completed".to_owned());
        let fault = Fault::OperationStatus { status, is_terminal };
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("DeleteBucketAccessKey", fault));
        assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked");
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_operation_is_unconfirmed_at_once() {
    let started = Instant::now();
    let scene = Scene::with_key_on_photos().await.scripted(every("GetOperation", Fault::AccessDenied));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "unconfirmed");
    assert_eq!(scene.count("GetOperation"), 1);
    assert_eq!(answer.unmapped("/failure/operation"), "GetOperation");
    assert_eq!(answer.unmapped("/verification/absent"), true);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn endless_faults_are_answered_before_deadline() {
    let time = Duration::from_secs(4);
    let cases = [
        ("DeleteBucketAccessKey", Fault::OperationPending { polls: u32::MAX }, "unconfirmed"),
        ("DeleteBucketAccessKey", Fault::StillListed { reads: u32::MAX }, "unconfirmed"),
        ("DeleteBucketAccessKey", Fault::HangBefore, "failed"),
        // The response is lost, and then the search finds the key nowhere.
        ("DeleteBucketAccessKey", Fault::NeverEnds, "already_absent"),
        ("GetOperation", Fault::HangBefore, "unconfirmed"),
        ("GetBucketAccessKeys", Fault::HangBefore, "unconfirmed"),
        ("GetBucketAccessKeys", Fault::Throttled, "unconfirmed"),
        ("GetBucketAccessKeys", Fault::EmptyAnswer, "unconfirmed"),
    ];
    join_all(cases.into_iter().map(|(operation, fault, outcome)| async move {
        let scene = Scene::with_key_on_photos().await.scripted(every(operation, fault.clone()));
        let started = Instant::now();
        let answer = scene.respond_within(&manual_event(), time).await;
        let left = time.checked_sub(started.elapsed());
        assert!(left.is_some_and(|left| left > Duration::from_millis(500)), "{fault:?}: {left:?} left");
        assert_eq!(answer.outcome(), outcome, "{operation} {fault:?}");
    }))
    .await;
}

/// A failed read counts as a read: the record tells that the function tried.
#[tokio::test(start_paused = true)]
async fn denied_read_back_is_unconfirmed() {
    let scene = Scene::with_key_on_photos().await.scripted(every("GetBucketAccessKeys", Fault::AccessDenied));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "unconfirmed");
    assert_eq!(answer.unmapped("/verification/reads"), 1);
    assert_eq!(answer.unmapped("/verification/absent"), &json!(null));
    assert!(answer.message().contains("the keys could not be read"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn pending_operation_leaves_time_to_read_keys() {
    let scene = Scene::with_key_on_photos()
        .await
        .scripted(Script::new("DeleteBucketAccessKey", Fault::OperationPending { polls: u32::MAX }));
    let answer = scene.respond_within(&manual_event(), Duration::from_secs(4)).await;
    assert_eq!(answer.outcome(), "unconfirmed");
    assert_eq!(answer.unmapped("/verification/absent"), true);
    assert_eq!(answer.unmapped("/operations/0/status"), "Started");
}

#[tokio::test(start_paused = true)]
async fn refused_connection_is_failed_without_effect() {
    let scene = Scene::with_key_on_photos().await.unreachable();
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(answer.unmapped("/failure/kind"), "no_response");
    assert_eq!(answer.unmapped("/failure/attempts"), 5);
    assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), false);
    assert!(answer.message().contains("nothing was deleted"), "{}", answer.message());
    assert!(answer.message().contains("no connection: connection refused"), "{}", answer.message());
    let counts = answer.unmapped("/search/unread").as_array().unwrap().iter().map(|unread| &unread["count"]);
    assert_eq!(counts.collect::<Vec<_>>(), [19, 1]);
}

/// AWS reports with HTTP 400 and 408 too that it gave up on a request, which may have been carried out.
#[tokio::test(start_paused = true)]
async fn aborted_delete_may_have_taken_effect() {
    for (code, status) in [("RequestAbortedException", None), ("RequestTimeoutException", Some(408))] {
        let fault = Fault::Error { code: code.to_owned(), status, message: None };
        let scene = Scene::with_key_on_photos().await.scripted(every("DeleteBucketAccessKey", fault.clone()));
        let answer = scene.respond(&manual_event()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/failure/kind")), ("failed", &json!("no_response")), "{code}");
        assert_eq!(answer.unmapped("/failure/attempts"), 5, "{code}");
        assert_eq!(answer.unmapped("/failure/retryable"), true, "{code}");
        assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), true, "{code}");
        let scene = Scene::with_key_on_photos().await.scripted(Script::new("DeleteBucketAccessKey", fault));
        assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked", "{code}");
        assert_eq!(scene.count("DeleteBucketAccessKey"), 2, "{code}");
    }
}

/// AWS has not published how long a delete takes. The retry of a slow success would find the key gone.
#[tokio::test(start_paused = true)]
async fn slow_delete_is_not_sent_twice() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 9_500 }));
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked");
    assert_eq!(scene.count("DeleteBucketAccessKey"), 1);
}

#[tokio::test(start_paused = true)]
async fn silent_region_leaves_time_for_search() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[]).seeded("eu-west-1", "backups", &[KEY]);
    let operations = ["DeleteBucketAccessKey", "GetBucketAccessKeys", "GetBuckets"];
    let silent = |operation| every(operation, Fault::HangBefore).in_region("us-east-1");
    let scene = operations.into_iter().fold(scene, |scene, operation| scene.scripted(silent(operation)));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
}

#[tokio::test(start_paused = true)]
async fn warm_function_keeps_retries_after_failures() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "us-east-1")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    let outage = Script::new("DeleteBucketAccessKey", Fault::HttpStatus { status: 503 }).times(5 * 12);
    let scene = scene.scripted(outage);
    for _ in 0..12 {
        let answer = scene.respond(&manual_event()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/failure/attempts")), ("failed", &json!(5)));
    }
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn expired_deadline_still_leaves_record() {
    let scene = Scene::with_key_on_photos().await;
    let answer = scene.respond_within(&manual_event(), Duration::ZERO).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(answer.unmapped("/failure/kind"), "deadline_exceeded");
    assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING]);
    assert_eq!(answer.unmapped("/timing_ms/alert_to_invocation"), &json!(null));
}
