//! Tests of the search: without a correct bucket hint, the function reads each bucket in each Region before it reports
//! "nowhere".

use std::time::Duration;

use lightsail_simulator::{Fault, Script, Seed, SeedKey, Settings};
use serde_json::json;

use crate::scene::{ACCOUNT, KEY, SIBLING, Scene, event, key_only, manual_event};

#[tokio::test(start_paused = true)]
async fn key_is_found_in_any_region_and_page() {
    let mut scene = Scene::with(Settings { page_size: 2, ..Settings::default() }, &[]).await;
    for number in 0..7 {
        scene = scene.seeded("ap-southeast-2", &format!("bucket-{number}"), &[]);
    }
    let used = chrono::DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    let key = SeedKey::new(KEY).created_at(used).last_used(used, "eu-west-1", "s3");
    scene.simulator.seed(Seed::bucket("ap-southeast-2", "zebra").key(key).key(SIBLING)).unwrap();
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(
        answer.unmapped("/bucket"),
        &json!({"name": "zebra", "region": "ap-southeast-2", "found_by": "search", "remaining_keys": 1})
    );
    assert_eq!(answer.unmapped("/access_key/created_at"), "2026-11-18T11:06:40Z");
    assert_eq!(answer.unmapped("/access_key/last_used/service"), "s3");
    assert_eq!(scene.keys("ap-southeast-2", "zebra"), [SIBLING]);
}

#[tokio::test(start_paused = true)]
async fn wrong_bucket_hint_does_not_save_key() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]).seeded("eu-north-1", "backups", &[KEY]);
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(answer.unmapped("/bucket/name"), "backups");
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    assert!(scene.keys("eu-north-1", "backups").is_empty());
}

#[tokio::test(start_paused = true)]
async fn bucket_in_other_region_is_found() {
    let scene = Scene::new().await.seeded("sa-east-1", "photos", &[KEY]);
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/region")), ("revoked", &json!("sa-east-1")));
}

#[tokio::test(start_paused = true)]
async fn does_not_exist_error_counts_as_not_found() {
    let scene = Scene::new().await.seeded("sa-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::DoesNotExist).in_region("us-east-1"));
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::DoesNotExist).in_region("us-east-1"));
    assert_eq!(scene.respond(&manual_event()).await.outcome(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn unreadable_region_makes_search_incomplete() {
    for fault in [Fault::ServiceException, Fault::AccessDenied, Fault::Truncated, Fault::RegionSetupInProgress] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new("GetBuckets", fault.clone()).every().in_region("us-east-1"));
        let answer = scene.respond(&key_only()).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("search_incomplete", "Responder.SearchIncomplete"));
        let unread = answer.unmapped("/search/unread");
        let place = json!({"account": ACCOUNT, "region": "us-east-1", "bucket": null});
        assert_eq!((&unread[0]["count"], &unread[0]["places"]), (&json!(1), &json!([place])), "{fault:?}");
        assert!(answer.message().contains("may be live"), "{}", answer.message());
        assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING]);
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_later_page_makes_search_incomplete() {
    let scene = Scene::with(Settings { page_size: 1, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "aaa", &[]).seeded("us-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).after(1).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
}

#[tokio::test(start_paused = true)]
async fn key_before_unreadable_page_is_deleted() {
    let scene = Scene::with(Settings { page_size: 1, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]).seeded("us-east-1", "zebra", &[]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).after(1).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn unreadable_bucket_is_named() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert_eq!(answer.unmapped("/search/unread/0/places/0/bucket"), "photos");
    assert!(answer.message().contains("bucket photos in us-east-1"), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn response_without_list_makes_search_incomplete() {
    for operation in ["GetBuckets", "GetBucketAccessKeys"] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new(operation, Fault::EmptyAnswer).every());
        assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete", "{operation}");
    }
    let scene = Scene::with(Settings { page_size: 1, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "aaa", &[]).seeded("us-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::EmptyAnswer).after(1).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
}

/// AWS may leave out an empty list: then `{}` is its whole response, and it has a request ID.
#[tokio::test(start_paused = true)]
async fn absent_list_with_request_id_is_empty() {
    let settings = Settings { dialect: "empty-lists=absent".parse().unwrap(), ..Settings::default() };
    let scene = Scene::with(settings, &[]).await.seeded("us-east-1", "photos", &[KEY]);
    for outcome in ["revoked", "already_absent"] {
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), outcome, "{}", answer.message());
        assert_eq!(answer.unmapped("/verification/absent"), true);
    }
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "not_lightsail_key", "{}", answer.message());
    assert_eq!(answer.unmapped("/search/regions_read"), 19);
}

/// The grammar of bucket names binds alerts. What AWS lists is opaque.
#[tokio::test(start_paused = true)]
async fn bucket_with_any_listed_name_is_searched() {
    for (name, shown) in [("My.Bucket_1", "My.Bucket_1"), ("b\u{1b}[31m\n", "b\\u{1b}[31m\\n")] {
        let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]);
        let bucket = || Seed::bucket("us-west-2", name).any_name();
        scene.simulator.seed(bucket().key(KEY)).unwrap();
        let answer = scene.respond(&key_only()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!(shown)));
        assert_eq!(answer.unmapped("/operations/0/resource_name"), shown);
        assert!(answer.message().contains(&format!("bucket {shown} in us-west-2")), "{}", answer.message());
        assert!(scene.keys("us-west-2", name).is_empty());
        assert_eq!(scene.respond(&key_only()).await.outcome(), "not_lightsail_key");
        scene.simulator.seed(bucket().key(KEY).tag("responder:protect", "true")).unwrap();
        assert_eq!(scene.respond(&key_only()).await.outcome(), "protected");
    }
    let scene = Scene::with(Settings::default(), &[("PROTECTED_BUCKETS", "My.Bucket_1")]).await;
    scene.simulator.seed(Seed::bucket("us-west-2", "My.Bucket_1").any_name().key(KEY)).unwrap();
    assert_eq!(scene.respond(&key_only()).await.outcome(), "protected");
}

#[tokio::test(start_paused = true)]
async fn listed_but_not_found_bucket_counts_as_unread() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::NotFound).every());
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::NotFound).every());
    for event in [key_only(), manual_event()] {
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "search_incomplete");
        assert!(answer.message().contains("bucket photos in us-east-1"), "{}", answer.message());
    }
}

#[tokio::test(start_paused = true)]
async fn disabled_opt_in_regions_are_listed() {
    let refusal = || Fault::error("UnrecognizedClientException");
    let scene = Scene::new().await;
    let scene = ["ap-east-1", "ap-southeast-3", "ap-southeast-5", "eu-south-2"]
        .into_iter()
        .fold(scene, |scene, region| scene.scripted(Script::new("GetBuckets", refusal()).every().in_region(region)));
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("not_lightsail_key", &json!(15)));
    let disabled = answer.unmapped("/search/regions_not_enabled").as_array().unwrap();
    assert_eq!((disabled.len(), &disabled[0]["account"]), (4, &json!(ACCOUNT)));
    assert!(answer.message().contains("; not enabled and so not read: "), "{}", answer.message());
    let scene = scene.scripted(Script::new("GetBuckets", refusal()).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
}

#[tokio::test(start_paused = true)]
async fn refusal_in_named_region_is_no_absence() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
    let scene =
        ["DeleteBucketAccessKey", "GetBucketAccessKeys", "GetBuckets"].into_iter().fold(scene, |scene, operation| {
            let refusal = Fault::error("UnrecognizedClientException");
            scene.scripted(Script::new(operation, refusal).every().in_region("ap-east-1"))
        });
    let event = json!({"accessKeyId": KEY, "bucketName": "photos", "region": "ap-east-1"});
    assert_eq!(scene.respond(&event).await.outcome(), "revoked");
    assert_eq!(scene.respond(&event).await.outcome(), "failed");
    let without_bucket = json!({"accessKeyId": KEY, "region": "ap-east-1"});
    let answer = scene.respond(&without_bucket).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert_eq!(answer.unmapped("/search/regions_not_enabled"), &json!([]));
}

/// A Region that refuses the credentials is asked once more.
#[tokio::test(start_paused = true)]
async fn passing_refusal_is_no_absence() {
    let scene = Scene::new().await.seeded("ap-east-1", "photos", &[KEY]);
    let refusal = Script::new("GetBuckets", Fault::error("UnrecognizedClientException")).in_region("ap-east-1");
    assert_eq!(scene.scripted(refusal).respond(&key_only()).await.outcome(), "revoked");
}

/// Nothing accepted the credentials, so a refusal says nothing about the Region.
#[tokio::test(start_paused = true)]
async fn refused_credentials_are_no_absence() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "ap-east-1")]).await;
    let refusal = Script::new("GetBuckets", Fault::error("UnrecognizedClientException")).every();
    let answer = scene.scripted(refusal).respond(&key_only()).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert_eq!(answer.unmapped("/search/regions_read"), 0);
}

/// AWS adds Regions, and this build knows those of its day.
#[tokio::test(start_paused = true)]
async fn new_region_is_searched() {
    let dialect = "new-region=listed".parse().unwrap();
    let scene = Scene::with(Settings { dialect, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("mx-central-1", "photos", &[KEY, SIBLING]);
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/region")), ("revoked", &json!("mx-central-1")));
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("not_lightsail_key", &json!(20)));
}

#[tokio::test(start_paused = true)]
async fn unread_list_of_regions_is_incomplete() {
    let scene = Scene::new().await.scripted(Script::new("GetRegions", Fault::AccessDenied).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert_eq!(answer.unmapped("/search/unread/0/failure/operation"), "GetRegions");
}

#[tokio::test(start_paused = true)]
async fn named_new_region_is_tried_or_unread() {
    let alert = json!({"accessKeyId": KEY, "bucketName": "photos", "region": "mx-central-1"});
    let answer = Scene::new().await.respond(&alert).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert!(
        answer.message().contains("mx-central-1 (GetRegions: Lightsail has no such Region"),
        "{}",
        answer.message()
    );
    // AWS did not say so if its list could not be read.
    let scene = Scene::new().await.scripted(Script::new("GetRegions", Fault::AccessDenied).every());
    let answer = scene.respond(&alert).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert!(answer.message().contains("AWS's list of Regions could not be read"), "{}", answer.message());
    let dialect = "new-region=listed".parse().unwrap();
    // The alert names the Region, so it is searched even if `SEARCH_REGIONS` excludes it.
    let scene = Scene::with(Settings { dialect, ..Settings::default() }, &[("SEARCH_REGIONS", "us-east-1")]).await;
    let scene = scene.seeded("mx-central-1", "photos", &[KEY]);
    assert_eq!(scene.respond(&alert).await.outcome(), "revoked");
    assert_eq!(scene.respond(&alert).await.outcome(), "not_lightsail_key");
}

/// What could not be read is told of a key that was found too.
#[tokio::test(start_paused = true)]
async fn record_of_found_key_has_what_is_unread() {
    let scene = Scene::with(Settings { latency_ms: 50, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("eu-west-1", "backups", &[KEY, SIBLING]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).every().in_region("us-east-1"));
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::Latency { ms: 500 }));
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(answer.unmapped("/search/ended_early"), true);
    assert_eq!(answer.unmapped("/search/unread/0/places/0/region"), "us-east-1");
    assert_eq!(answer.unmapped("/verification/absent"), true);
    let unread = "; the search could not read: us-east-1 (GetBuckets: AccessDeniedException";
    assert!(answer.message().contains(unread), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn denied_delete_of_found_key_is_failed() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::AccessDenied).every());
    // The search reads the keys once. All later reads are denied.
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).after(1).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(answer.unmapped("/bucket/name"), "backups");
    assert_eq!(answer.unmapped("/verification"), &json!(null));
    assert!(answer.message().contains("; nothing was deleted. "), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn message_shortens_long_list_of_unread_buckets() {
    let mut scene = Scene::new().await;
    for number in 0..30 {
        scene = scene.seeded("us-east-1", &format!("bucket-{number}"), &[]);
    }
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.unmapped("/search/unread/0/count"), 30);
    assert_eq!(answer.unmapped("/search/unread/0/places").as_array().unwrap().len(), 20);
    assert!(answer.message().contains(" and 10 more ("), "{}", answer.message());
}

#[tokio::test(start_paused = true)]
async fn search_starts_with_alert_region_then_own_region() {
    let scene = Scene::new().await;
    let answer = scene.respond(&json!({"accessKeyId": KEY, "region": "sa-east-1"})).await;
    assert_eq!(answer.outcome(), "not_lightsail_key");
    let regions: Vec<_> = scene.simulator.requests().into_iter().map(|seen| seen.region).collect();
    // All Regions, and the list of Regions.
    assert_eq!((regions.len(), &regions[..2]), (20, &["sa-east-1".to_owned(), "us-east-1".to_owned()][..]));
}

#[tokio::test(start_paused = true)]
async fn search_regions_narrow_search() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "eu-west-1,eu-west-2")]).await;
    let scene = scene.seeded("eu-west-2", "photos", &[KEY]).seeded("eu-west-3", "logs", &[SIBLING]);
    assert_eq!(scene.respond(&key_only()).await.outcome(), "revoked");
    let answer = scene.respond(&json!({"accessKeyId": SIBLING})).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("not_lightsail_key", &json!(2)));
    assert!(
        answer.message().contains("2 Regions and 1 bucket read; SEARCH_REGIONS excludes 17 others"),
        "{}",
        answer.message()
    );
}

#[tokio::test(start_paused = true)]
async fn alert_region_outside_search_regions_is_searched() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "eu-west-1")]).await;
    let scene = scene.seeded("us-east-2", "photos", &[KEY]);
    let answer = scene.respond(&json!({"accessKeyId": KEY, "region": "us-east-2"})).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/region")), ("revoked", &json!("us-east-2")));
}

#[tokio::test(start_paused = true)]
async fn named_bucket_outside_search_regions_is_tried() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "eu-west-1")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    for operation in ["DeleteBucketAccessKey", "GetBucketAccessKeys"] {
        scene.simulator.script(Script::new(operation, Fault::AccessDenied)).unwrap();
    }
    // The alert names no Region, so the function tries its own.
    let own_region = json!({"accessKeyId": KEY, "bucketName": "photos"});
    let answer = scene.respond(&own_region).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("failed", &json!(1)));
    assert_eq!(scene.respond(&own_region).await.outcome(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn failed_named_bucket_does_not_stop_search() {
    for fault in [Fault::AccessDenied, Fault::InvalidInput, Fault::Throttled, Fault::ServiceException] {
        let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
        for operation in ["DeleteBucketAccessKey", "GetBucketAccessKeys"] {
            let script = Script::new(operation, fault.clone()).in_region("us-east-1").every();
            scene.simulator.script(script).unwrap();
        }
        let answer = scene.respond(&manual_event()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_named_bucket_leaves_time_for_search() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
    let silent = Script::new("DeleteBucketAccessKey", Fault::HangBefore).in_region("us-east-1").every();
    let scene = scene.scripted(silent);
    let answer = scene.respond_within(&manual_event(), Duration::from_secs(5)).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
}

#[tokio::test(start_paused = true)]
async fn only_first_ten_named_buckets_are_tried() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[KEY]);
    let mut finding = event("guardduty-s3-exfiltration");
    let named: Vec<_> = (0..50).map(|number| json!({"name": format!("bucket-{number}")})).collect();
    finding["detail"]["resource"]["s3BucketDetails"] = named.into_iter().chain([json!({"name": "photos"})]).collect();
    let answer = scene.respond(&finding).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/found_by")), ("revoked", &json!("search")));
    assert_eq!(scene.count("DeleteBucketAccessKey"), 11);
}

#[tokio::test(start_paused = true)]
async fn absence_on_named_bucket_is_no_proof() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]).seeded("eu-west-1", "logs", &[KEY]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).every().in_region("eu-west-1"));
    let answer = scene.respond(&manual_event()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/verification")), ("search_incomplete", &json!(null)));
    assert_eq!(scene.keys("eu-west-1", "logs"), [KEY]);
}

/// Alerts about one key that name buckets in several Regions, all of them outside `SEARCH_REGIONS`.
#[tokio::test(start_paused = true)]
async fn merged_hints_keep_their_regions() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "us-east-1")]).await;
    let scene = scene.seeded("eu-central-1", "logs", &[SIBLING]).seeded("sa-east-1", "photos", &[SIBLING]);
    let alert = |bucket: &str, region: &str| json!({"accessKeyId": KEY, "bucketName": bucket, "region": region});
    let alerts = json!([alert("photos", "sa-east-1"), alert("logs", "eu-central-1")]);
    assert_eq!(scene.respond(&alerts).await.outcome(), "already_absent");
    let requests = scene.simulator.requests();
    let deletes = requests.iter().filter(|seen| seen.operation == "DeleteBucketAccessKey");
    let deletes: Vec<_> = deletes.map(|seen| (seen.bucket.as_deref().unwrap(), seen.region.as_str())).collect();
    assert_eq!(deletes, [("photos", "sa-east-1"), ("logs", "eu-central-1")]);
    let searched = requests.iter().filter(|seen| seen.operation == "GetBuckets").map(|seen| seen.region.as_str());
    assert_eq!(searched.collect::<Vec<_>>(), ["sa-east-1", "eu-central-1", "us-east-1"]);
}

/// AWS may leave out any field (API model), the name of the first bucket too.
#[tokio::test(start_paused = true)]
async fn buckets_after_one_without_name_are_read() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[KEY]);
    scene.simulator.seed(Seed::bucket("us-east-1", "").any_name()).unwrap();
    assert_eq!(scene.respond(&key_only()).await.outcome(), "revoked");
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
}
