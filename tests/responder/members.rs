//! Other accounts: only where a role is configured, only those that are allowed, and never STS for our own.

use lightsail_simulator::{Fault, Role, Script};
use serde_json::{Value, json};

use crate::scene::{ACCOUNT, EXTERNAL_ID, KEY, MEMBER, OTHER_MEMBER, ROLE, SIBLING, STRANGER, Scene, event, key_only};

fn of(account: &str) -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-west-1", "accountId": account})
}

fn left(scene: &Scene, account: &str, bucket: &str) -> Vec<String> {
    scene.simulator.keys(account, "eu-west-1", bucket).unwrap()
}

#[tokio::test]
async fn a_members_key_is_deleted_with_the_role_there() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY, SIBLING]);
    let mut finding = event("guardduty-other-account");
    finding["region"] = json!("eu-west-1");
    finding["detail"]["region"] = json!("eu-west-1");
    let answer = scene.respond(&finding).await;
    assert_eq!(answer.outcome(), "revoked", "{}", answer.message());
    assert_eq!(answer.record["cloud"]["account"]["uid"], MEMBER);
    assert_eq!(left(&scene, MEMBER, "photos"), [SIBLING]);
    let requests = scene.simulator.requests();
    assert_eq!(
        (requests[0].operation.as_str(), requests[1].operation.as_str()),
        ("AssumeRole", "DeleteBucketAccessKey")
    );
    assert_eq!(requests[0].role_arn.as_deref(), Some("arn:aws:iam::111122223333:role/lightsail-key-responder"));
    assert_eq!(requests[0].external_id.as_deref(), Some(EXTERNAL_ID));
    // The member's CloudTrail names the alert.
    let id = answer.unmapped("/alert/id").as_str().unwrap();
    assert_eq!(requests[0].role_session_name.as_deref(), Some(format!("lightsail-key-{id}").as_str()));
    assert!(requests[1..].iter().all(|seen| seen.account == MEMBER));
}

#[tokio::test]
async fn a_session_is_kept_for_the_next_invocation() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "already_absent");
    assert_eq!(scene.count("AssumeRole"), 1);
}

#[tokio::test]
async fn a_session_that_would_not_last_is_not_used() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let brief = Role::new(MEMBER, ROLE).external_id(EXTERNAL_ID).lasts_seconds(30);
    scene.simulator.role(brief).unwrap();
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "already_absent");
    assert_eq!(scene.count("AssumeRole"), 2);
}

#[tokio::test]
async fn a_session_that_was_taken_back_is_not_kept() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let revoked = Script::new("DeleteBucketAccessKey", Fault::error("ExpiredTokenException"));
    let scene = scene.scripted(revoked);
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "failed");
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.count("AssumeRole"), 2);
}

#[tokio::test]
async fn alerts_that_come_together_assume_a_role_once() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY, SIBLING]);
    let both =
        json!({"accessKeyId": [KEY, SIBLING], "bucketName": "photos", "region": "eu-west-1", "accountId": MEMBER});
    let (lines, result) = scene.deliver(&both).await;
    assert!(result.is_ok() && lines.len() == 2, "{lines:#?}");
    assert_eq!(scene.count("AssumeRole"), 1);
    assert!(left(&scene, MEMBER, "photos").is_empty());
}

#[tokio::test]
async fn sts_is_never_called_for_our_own_account() {
    let scene = Scene::with_members().await.seeded("eu-west-1", "photos", &[KEY]);
    assert_eq!(scene.respond(&of(ACCOUNT)).await.outcome(), "revoked");
    assert_eq!(scene.respond(&of(ACCOUNT)).await.outcome(), "already_absent");
    assert_eq!(scene.count("AssumeRole"), 0);
}

#[tokio::test]
async fn an_account_that_is_not_allowed_is_not_entered() {
    let scene = Scene::with_members().await.seeded_in(STRANGER, "photos", &[KEY]);
    scene.simulator.role(Role::new(STRANGER, ROLE).external_id(EXTERNAL_ID)).unwrap();
    let answer = scene.respond(&of(STRANGER)).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("wrong_account", "Responder.WrongAccount"));
    assert!(
        answer.message().contains("account 777788889999, which is not in ALLOWED_ACCOUNTS"),
        "{}",
        answer.message()
    );
    assert!(scene.operations().is_empty());
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_failed_and_nothing_was_asked_of_lightsail() {
    // There is no such role in the other account.
    let scene = Scene::with_members().await.seeded_in(OTHER_MEMBER, "photos", &[KEY]);
    let answer = scene.respond(&of(OTHER_MEMBER)).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("failed", "Responder.Failed"));
    assert_eq!(answer.unmapped("/failure/operation"), "AssumeRole");
    assert_eq!(answer.unmapped("/failure/kind"), "access_denied");
    assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), false);
    assert!(answer.message().contains("nothing was deleted"), "{}", answer.message());
    assert_eq!(scene.operations(), ["AssumeRole"]);
}

#[tokio::test]
async fn a_role_is_assumed_again_where_that_can_help() {
    for fault in [Fault::Throttled, Fault::ServiceException, Fault::ResetBefore, Fault::NotJson, Fault::EmptyAnswer] {
        let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
        let scene = scene.scripted(Script::new("AssumeRole", fault.clone()).times(2));
        let answer = scene.respond(&of(MEMBER)).await;
        assert_eq!(answer.outcome(), "revoked", "{fault:?}: {}", answer.message());
        assert_eq!(scene.count("AssumeRole"), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn a_key_of_unknown_owner_is_found_in_any_account_that_is_allowed() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "backups", &[KEY, SIBLING]);
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
    assert_eq!(answer.record["cloud"]["account"]["uid"], MEMBER);
    assert_eq!(left(&scene, MEMBER, "backups"), [SIBLING]);
}

#[tokio::test]
async fn an_account_that_cannot_be_entered_makes_the_search_incomplete() {
    let scene = Scene::with_members().await.seeded_in(OTHER_MEMBER, "photos", &[KEY]);
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("search_incomplete", "Responder.SearchIncomplete"));
    assert_eq!(answer.unmapped("/search/accounts_read"), 2);
    let unread = answer.unmapped("/search/unread/0");
    assert_eq!((&unread["account"], &unread["region"]), (&json!(OTHER_MEMBER), &json!(null)));
    assert!(answer.message().contains("account 444455556666 (AssumeRole: AccessDenied"), "{}", answer.message());
}

#[tokio::test]
async fn nowhere_in_all_accounts_is_said_of_all_accounts() {
    let scene = Scene::with_members().await;
    scene.simulator.role(Role::new(OTHER_MEMBER, ROLE).external_id(EXTERNAL_ID)).unwrap();
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "not_lightsail_key");
    assert!(answer.message().contains("of 3 accounts (57 Regions and 0 buckets read)"), "{}", answer.message());
}

#[tokio::test]
async fn half_an_answer_of_sts_is_no_session() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let scene = scene.scripted(Script::new("AssumeRole", Fault::Truncated));
    let answer = scene.respond(&of(MEMBER)).await;
    assert_eq!((answer.outcome(), answer.unmapped("/failure/operation")), ("failed", &json!("AssumeRole")));
    assert_eq!(answer.unmapped("/failure/retryable"), true);
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "revoked");
}

#[tokio::test]
async fn a_session_of_a_searched_account_that_was_taken_back_is_not_kept() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "backups", &[SIBLING]);
    scene.simulator.role(Role::new(OTHER_MEMBER, ROLE).external_id(EXTERNAL_ID)).unwrap();
    // The one bucket there is, is the first member's.
    let taken_back = Script::new("GetBucketAccessKeys", Fault::error("ExpiredTokenException"));
    let scene = scene.scripted(taken_back);
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
    assert_eq!(scene.count("AssumeRole"), 2);
    assert_eq!(scene.respond(&key_only()).await.outcome(), "not_lightsail_key");
    assert_eq!(scene.count("AssumeRole"), 3);
}

#[tokio::test]
async fn a_session_is_kept_where_an_error_is_no_refusal() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::HttpStatus { status: 503 }).times(5));
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "failed");
    assert_eq!(scene.respond(&of(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.count("AssumeRole"), 1);
}
