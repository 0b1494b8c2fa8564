//! Tests of member accounts: they need a configured role and an entry in the allow list. The function never calls
//! STS for its own account.

use lightsail_simulator::{Fault, Role, Script};
use serde_json::{Value, json};

use crate::scene::{
    ACCOUNT, EXTERNAL_ID, FOREIGN_ACCOUNT, KEY, MEMBER, OTHER_MEMBER, ROLE, SIBLING, Scene, event, key_only,
    manual_event, seen_first,
};

fn alert_for(account: &str) -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-west-1", "accountId": account})
}

fn remaining_keys(scene: &Scene, account: &str, bucket: &str) -> Vec<String> {
    scene.simulator.keys(account, "eu-west-1", bucket).unwrap()
}

#[tokio::test(start_paused = true)]
async fn member_key_is_deleted_with_member_role() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY, SIBLING]).scripted(seen_first());
    let mut finding = event("guardduty-other-account");
    finding["region"] = json!("eu-west-1");
    finding["detail"]["region"] = json!("eu-west-1");
    let answer = scene.respond(&finding).await;
    assert_eq!(answer.outcome(), "revoked", "{}", answer.message());
    assert_eq!(answer.record["cloud"]["account"]["uid"], MEMBER);
    assert_eq!(remaining_keys(&scene, MEMBER, "photos"), [SIBLING]);
    let requests = scene.simulator.requests();
    assert_eq!(
        (requests[0].operation.as_str(), requests[1].operation.as_str()),
        ("AssumeRole", "DeleteBucketAccessKey")
    );
    assert_eq!(requests[0].role_arn.as_deref(), Some("arn:aws:iam::111122223333:role/lightsail-key-responder"));
    assert_eq!(requests[0].external_id.as_deref(), Some(EXTERNAL_ID));
    // The session name shows the alert in the member account's CloudTrail.
    let id = answer.unmapped("/alert/id").as_str().unwrap();
    assert_eq!(requests[0].role_session_name.as_deref(), Some(format!("lightsail-key-{id}").as_str()));
    assert!(requests[1..].iter().all(|seen| seen.account == MEMBER));
}

#[tokio::test(start_paused = true)]
async fn session_is_cached_across_invocations() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "already_absent");
    assert_eq!(scene.count("AssumeRole"), 1);
}

#[tokio::test(start_paused = true)]
async fn expiring_session_is_not_reused() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let brief = Role::new(MEMBER, ROLE).external_id(EXTERNAL_ID).lasts_seconds(30);
    scene.simulator.role(brief).unwrap();
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "already_absent");
    assert_eq!(scene.count("AssumeRole"), 2);
}

#[tokio::test(start_paused = true)]
async fn refused_session_is_not_cached() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let expired = Script::new("DeleteBucketAccessKey", Fault::error("ExpiredTokenException"));
    let scene = scene.scripted(expired);
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "failed");
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.count("AssumeRole"), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_of_one_alert_share_one_session() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY, SIBLING]);
    let both =
        json!({"accessKeyId": [KEY, SIBLING], "bucketName": "photos", "region": "eu-west-1", "accountId": MEMBER});
    let (lines, result) = scene.deliver(&both).await;
    assert!(result.is_ok() && lines.len() == 2, "{lines:#?}");
    assert_eq!(scene.count("AssumeRole"), 1);
    assert!(remaining_keys(&scene, MEMBER, "photos").is_empty());
}

#[tokio::test(start_paused = true)]
async fn own_account_never_calls_sts() {
    let scene = Scene::with_members().await.seeded("eu-west-1", "photos", &[KEY]);
    assert_eq!(scene.respond(&alert_for(ACCOUNT)).await.outcome(), "revoked");
    assert_eq!(scene.respond(&alert_for(ACCOUNT)).await.outcome(), "already_absent");
    assert_eq!(scene.count("AssumeRole"), 0);
}

#[tokio::test(start_paused = true)]
async fn foreign_account_makes_no_call() {
    let scene = Scene::with_members().await.seeded_in(FOREIGN_ACCOUNT, "photos", &[KEY]);
    scene.simulator.role(Role::new(FOREIGN_ACCOUNT, ROLE).external_id(EXTERNAL_ID)).unwrap();
    let answer = scene.respond(&alert_for(FOREIGN_ACCOUNT)).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("wrong_account", "Responder.WrongAccount"));
    assert!(
        answer.message().contains("account 777788889999, which is not in ALLOWED_ACCOUNTS"),
        "{}",
        answer.message()
    );
    assert!(scene.operations().is_empty());
}

/// The account of a finding is searched first, and the own account and all members after it.
#[tokio::test(start_paused = true)]
async fn finding_of_member_is_searched_everywhere() {
    let scene = Scene::with_members().await.seeded("eu-west-1", "backups", &[KEY, SIBLING]);
    let answer = scene.respond(&event("guardduty-other-account")).await;
    assert_eq!((answer.outcome(), &answer.record["cloud"]["account"]["uid"]), ("revoked", &json!(ACCOUNT)));
    let requests = scene.simulator.requests();
    assert_eq!((requests[1].operation.as_str(), requests[1].account.as_str()), ("DeleteBucketAccessKey", MEMBER));
}

/// The caller's account may own the key too (facts K).
#[tokio::test(start_paused = true)]
async fn account_of_caller_may_own_the_key() {
    let scene = Scene::with_members().await;
    scene.simulator.role(Role::new(OTHER_MEMBER, ROLE).external_id(EXTERNAL_ID)).unwrap();
    let mut finding = event("guardduty-s3-exfiltration");
    let caller = json!({"remoteAccountDetails": {"accountId": FOREIGN_ACCOUNT, "affiliated": false}});
    finding["detail"]["service"]["action"] = json!({"actionType": "AWS_API_CALL", "awsApiCallAction": caller});
    let answer = scene.respond(&finding).await;
    assert_eq!(answer.outcome(), "wrong_account");
    assert!(answer.message().contains(FOREIGN_ACCOUNT), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn trusted_advisor_names_the_owner() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let mut item = event("trusted-advisor-exposed-access-keys");
    item["account"] = json!(MEMBER);
    assert_eq!(scene.respond(&item).await.outcome(), "revoked");
    let others = scene.simulator.requests().into_iter().filter(|seen| seen.operation != "AssumeRole");
    assert!(others.into_iter().all(|seen| seen.account == MEMBER));
}

#[tokio::test(start_paused = true)]
async fn denied_role_is_failed_without_lightsail_call() {
    // The other member account has no such role.
    let scene = Scene::with_members().await.seeded_in(OTHER_MEMBER, "photos", &[KEY]);
    let answer = scene.respond(&alert_for(OTHER_MEMBER)).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("failed", "Responder.Failed"));
    assert_eq!(answer.unmapped("/failure/operation"), "AssumeRole");
    assert_eq!(answer.unmapped("/failure/kind"), "access_denied");
    assert_eq!(answer.unmapped("/failure/may_have_taken_effect"), false);
    assert!(answer.message().contains("nothing was deleted"), "{}", answer.message());
    assert_eq!(scene.operations(), ["AssumeRole"]);
}

#[tokio::test(start_paused = true)]
async fn transient_sts_faults_are_retried() {
    for fault in [Fault::Throttled, Fault::ServiceException, Fault::ResetBefore, Fault::NotJson, Fault::EmptyAnswer] {
        let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
        let scene = scene.scripted(Script::new("AssumeRole", fault.clone()).times(2));
        let answer = scene.respond(&alert_for(MEMBER)).await;
        assert_eq!(answer.outcome(), "revoked", "{fault:?}: {}", answer.message());
        assert_eq!(scene.count("AssumeRole"), 3, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn key_without_account_is_found_in_member_account() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "backups", &[KEY, SIBLING]);
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
    assert_eq!(answer.record["cloud"]["account"]["uid"], MEMBER);
    assert_eq!(remaining_keys(&scene, MEMBER, "backups"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn denied_role_makes_search_incomplete() {
    let scene = Scene::with_members().await.seeded_in(OTHER_MEMBER, "photos", &[KEY]);
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.error_type()), ("search_incomplete", "Responder.SearchIncomplete"));
    assert_eq!(answer.unmapped("/search/accounts_read"), 2);
    let unread = answer.unmapped("/search/unread/0/places/0");
    assert_eq!((&unread["account"], &unread["region"]), (&json!(OTHER_MEMBER), &json!(null)));
    assert!(answer.message().contains("account 444455556666 (AssumeRole: AccessDenied"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn complete_search_counts_all_accounts() {
    let scene = Scene::with_members().await;
    scene.simulator.role(Role::new(OTHER_MEMBER, ROLE).external_id(EXTERNAL_ID)).unwrap();
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "not_lightsail_key");
    assert!(answer.message().contains("of 3 accounts (57 Regions and 0 buckets read)"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn truncated_sts_response_is_no_session() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let scene = scene.scripted(Script::new("AssumeRole", Fault::Truncated));
    let answer = scene.respond(&alert_for(MEMBER)).await;
    assert_eq!((answer.outcome(), answer.unmapped("/failure/operation")), ("failed", &json!("AssumeRole")));
    assert_eq!(answer.unmapped("/failure/retryable"), true);
    assert_eq!(scene.count("DeleteBucketAccessKey"), 0);
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn session_refused_in_search_is_not_cached() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "backups", &[SIBLING]);
    scene.simulator.role(Role::new(OTHER_MEMBER, ROLE).external_id(EXTERNAL_ID)).unwrap();
    // The only bucket belongs to the first member account.
    let expired = Script::new("GetBucketAccessKeys", Fault::error("ExpiredTokenException"));
    let scene = scene.scripted(expired);
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
    assert_eq!(scene.count("AssumeRole"), 2);
    assert_eq!(scene.respond(&key_only()).await.outcome(), "not_lightsail_key");
    assert_eq!(scene.count("AssumeRole"), 3);
}

#[tokio::test(start_paused = true)]
async fn server_error_keeps_session_cached() {
    let scene = Scene::with_members().await.seeded_in(MEMBER, "photos", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::HttpStatus { status: 503 }).times(5));
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "failed");
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "revoked");
    assert_eq!(scene.count("AssumeRole"), 1);
}

/// The own account denies the delete on the hinted bucket, and the key is found and deleted in a member account.
#[tokio::test(start_paused = true)]
async fn denied_hint_is_not_blamed_on_member_account() {
    let scene =
        Scene::with_members().await.seeded_in(MEMBER, "backups", &[KEY]).seeded("us-east-1", "photos", &[SIBLING]);
    let denied = Script::new("DeleteBucketAccessKey", Fault::AccessDenied).in_region("us-east-1");
    let scene = scene.scripted(denied);
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
    assert_eq!(answer.record["cloud"]["account"]["uid"], MEMBER);
    assert_eq!(answer.unmapped("/failure"), &json!(null));
    // The member's session was not refused, so the next alert uses it.
    let assumed = scene.count("AssumeRole");
    assert_eq!(scene.respond(&alert_for(MEMBER)).await.outcome(), "not_lightsail_key");
    assert_eq!(scene.count("AssumeRole"), assumed);
}
