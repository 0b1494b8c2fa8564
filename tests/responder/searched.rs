//! Without a bucket, or with a wrong one: every bucket of every Region is read, and "nowhere" is said only after that.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use lightsail_key_responder::regions::REGIONS;
use lightsail_simulator::{Fault, Script, Seed, SeedKey, Settings};
use serde_json::json;

use crate::scene::{KEY, SIBLING, Scene, by_hand, event, key_only};

#[tokio::test]
async fn a_key_is_found_in_any_region_on_any_page() {
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

#[tokio::test]
async fn a_wrong_bucket_does_not_save_the_key() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]).seeded("eu-north-1", "backups", &[KEY]);
    let answer = scene.respond(&by_hand()).await;
    assert_eq!(answer.outcome(), "revoked");
    assert_eq!(answer.unmapped("/bucket/name"), "backups");
    assert_eq!(scene.keys("us-east-1", "photos"), [SIBLING]);
    assert!(scene.keys("eu-north-1", "backups").is_empty());
}

#[tokio::test]
async fn a_bucket_in_another_region_than_the_alert_says_is_found() {
    let scene = Scene::new().await.seeded("sa-east-1", "photos", &[KEY]);
    let answer = scene.respond(&by_hand()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/region")), ("revoked", &json!("sa-east-1")));
}

#[tokio::test]
async fn not_found_in_other_words_is_understood() {
    let scene = Scene::new().await.seeded("sa-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::DoesNotExist).in_region("us-east-1"));
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::DoesNotExist).in_region("us-east-1"));
    assert_eq!(scene.respond(&by_hand()).await.outcome(), "revoked");
}

#[tokio::test]
async fn a_region_that_cannot_be_read_makes_the_search_incomplete() {
    for fault in [Fault::ServiceException, Fault::AccessDenied, Fault::Truncated, Fault::RegionSetupInProgress] {
        let scene = Scene::with_key_on_photos().await;
        let scene = scene.scripted(Script::new("GetBuckets", fault.clone()).every().in_region("us-east-1"));
        let answer = scene.respond(&key_only()).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("search_incomplete", "Responder.SearchIncomplete"));
        let unread = answer.unmapped("/search/unread");
        assert_eq!((unread.as_array().unwrap().len(), &unread[0]["region"]), (1, &json!("us-east-1")), "{fault:?}");
        assert!(answer.message().contains("may be live"), "{}", answer.message());
        assert_eq!(scene.keys("us-east-1", "photos"), [KEY, SIBLING]);
    }
}

#[tokio::test]
async fn a_later_page_that_cannot_be_read_makes_the_search_incomplete() {
    let scene = Scene::with(Settings { page_size: 1, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "aaa", &[]).seeded("us-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).after(1).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
}

#[tokio::test]
async fn a_key_on_a_page_before_the_one_that_cannot_be_read_is_deleted() {
    let scene = Scene::with(Settings { page_size: 1, ..Settings::default() }, &[]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]).seeded("us-east-1", "zebra", &[]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).after(1).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "revoked");
}

#[tokio::test]
async fn a_bucket_that_cannot_be_read_is_named() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "search_incomplete");
    assert_eq!(answer.unmapped("/search/unread/0/bucket"), "photos");
    assert!(answer.message().contains("bucket photos in us-east-1"), "{}", answer.message());
}

#[tokio::test]
async fn an_answer_without_the_list_that_was_asked_for_proves_nothing() {
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

#[tokio::test]
async fn a_bucket_that_is_listed_and_then_not_found_is_not_taken_for_read() {
    let scene = Scene::with_key_on_photos().await;
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::NotFound).every());
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::NotFound).every());
    for event in [key_only(), by_hand()] {
        let answer = scene.respond(&event).await;
        assert_eq!(answer.outcome(), "search_incomplete");
        assert!(answer.message().contains("bucket photos in us-east-1"), "{}", answer.message());
    }
}

#[tokio::test]
async fn an_opt_in_region_that_is_not_enabled_can_hold_nothing() {
    let refusal = || Fault::error("UnrecognizedClientException");
    let scene = Scene::new().await;
    let scene = ["ap-east-1", "ap-southeast-3", "ap-southeast-5", "eu-south-2"]
        .into_iter()
        .fold(scene, |scene, region| scene.scripted(Script::new("GetBuckets", refusal()).every().in_region(region)));
    let answer = scene.respond(&key_only()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("not_lightsail_key", &json!(19)));
    let scene = scene.scripted(Script::new("GetBuckets", refusal()).every().in_region("us-east-1"));
    assert_eq!(scene.respond(&key_only()).await.outcome(), "search_incomplete");
}

#[tokio::test]
async fn a_named_region_that_is_not_enabled_does_not_stop_the_search() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
    let scene =
        ["DeleteBucketAccessKey", "GetBucketAccessKeys", "GetBuckets"].into_iter().fold(scene, |scene, operation| {
            let refusal = Fault::error("UnrecognizedClientException");
            scene.scripted(Script::new(operation, refusal).every().in_region("ap-east-1"))
        });
    let event = json!({"accessKeyId": KEY, "bucketName": "photos", "region": "ap-east-1"});
    assert_eq!(scene.respond(&event).await.outcome(), "revoked");
    assert_eq!(scene.respond(&event).await.outcome(), "not_lightsail_key");
}

#[tokio::test]
async fn a_key_that_was_found_and_may_not_be_deleted_is_failed() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::AccessDenied).every());
    // The search reads it once; then nothing may be read any more.
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).after(1).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.outcome(), "failed");
    assert_eq!(answer.unmapped("/bucket/name"), "backups");
    assert_eq!(answer.unmapped("/verification"), &json!(null));
    assert!(answer.message().contains("; nothing was deleted. "), "{}", answer.message());
}

#[tokio::test]
async fn many_unread_buckets_make_a_long_record_and_a_short_sentence() {
    let mut scene = Scene::new().await;
    for number in 0..30 {
        scene = scene.seeded("us-east-1", &format!("bucket-{number}"), &[]);
    }
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied).every());
    let answer = scene.respond(&key_only()).await;
    assert_eq!(answer.unmapped("/search/unread").as_array().unwrap().len(), 30);
    assert!(answer.message().contains(" and 10 more ("), "{}", answer.message());
}

#[tokio::test]
async fn the_region_of_the_alert_is_asked_first_and_then_our_own() {
    let scene = Scene::new().await;
    let answer = scene.respond(&json!({"accessKeyId": KEY, "region": "sa-east-1"})).await;
    assert_eq!(answer.outcome(), "not_lightsail_key");
    let regions: Vec<_> = scene.simulator.requests().into_iter().map(|seen| seen.region).collect();
    assert_eq!((regions.len(), &regions[..2]), (19, &["sa-east-1".to_owned(), "us-east-1".to_owned()][..]));
}

#[tokio::test]
async fn a_variable_narrows_the_search() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "eu-west-1,eu-west-2")]).await;
    let scene = scene.seeded("eu-west-2", "photos", &[KEY]).seeded("eu-west-3", "logs", &[SIBLING]);
    assert_eq!(scene.respond(&key_only()).await.outcome(), "revoked");
    let answer = scene.respond(&json!({"accessKeyId": SIBLING})).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("not_lightsail_key", &json!(2)));
    assert!(
        answer.message().contains("2 Regions and 1 bucket read; SEARCH_REGIONS leaves out 17 others"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn the_region_of_the_alert_is_searched_even_where_the_variable_leaves_it_out() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "eu-west-1")]).await;
    let scene = scene.seeded("us-east-2", "photos", &[KEY]);
    let answer = scene.respond(&json!({"accessKeyId": KEY, "region": "us-east-2"})).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/region")), ("revoked", &json!("us-east-2")));
}

#[tokio::test]
async fn a_bucket_that_is_named_is_tried_where_the_search_does_not_look_and_what_is_unread_there_is_an_error() {
    let scene = Scene::with(Settings::default(), &[("SEARCH_REGIONS", "eu-west-1")]).await;
    let scene = scene.seeded("us-east-1", "photos", &[KEY]);
    for operation in ["DeleteBucketAccessKey", "GetBucketAccessKeys"] {
        scene.simulator.script(Script::new(operation, Fault::AccessDenied)).unwrap();
    }
    // No Region is named: it is tried in the function's own.
    let own_region = json!({"accessKeyId": KEY, "bucketName": "photos"});
    let answer = scene.respond(&own_region).await;
    assert_eq!((answer.outcome(), answer.unmapped("/search/regions_read")), ("failed", &json!(1)));
    assert_eq!(scene.respond(&own_region).await.outcome(), "revoked");
}

#[tokio::test]
async fn a_named_bucket_that_fails_does_not_stop_the_search() {
    for fault in [Fault::AccessDenied, Fault::InvalidInput, Fault::Throttled, Fault::ServiceException] {
        let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
        for operation in ["DeleteBucketAccessKey", "GetBucketAccessKeys"] {
            let there = Script::new(operation, fault.clone()).in_region("us-east-1").every();
            scene.simulator.script(there).unwrap();
        }
        let answer = scene.respond(&by_hand()).await;
        assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")), "{fault:?}");
    }
}

#[tokio::test]
async fn named_buckets_that_do_not_answer_leave_time_for_the_search() {
    let scene = Scene::new().await.seeded("eu-west-1", "backups", &[KEY]);
    let silent = Script::new("DeleteBucketAccessKey", Fault::HangBefore).in_region("us-east-1").every();
    let scene = scene.scripted(silent);
    let answer = scene.respond_within(&by_hand(), Duration::from_secs(5)).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/name")), ("revoked", &json!("backups")));
}

#[tokio::test]
async fn of_very_many_named_buckets_the_first_ten_are_tried_and_the_rest_is_searched() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[KEY]);
    let mut finding = event("guardduty-s3-exfiltration");
    let named: Vec<_> = (0..50).map(|number| json!({"name": format!("bucket-{number}")})).collect();
    finding["detail"]["resource"]["s3BucketDetails"] = named.into_iter().chain([json!({"name": "photos"})]).collect();
    let answer = scene.respond(&finding).await;
    assert_eq!((answer.outcome(), answer.unmapped("/bucket/found_by")), ("revoked", &json!("search")));
    assert_eq!(scene.count("DeleteBucketAccessKey"), 11);
}

/// Every request takes so long that what the machine adds does not matter, and so the time counts the round trips.
const ROUND_TRIP: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn a_search_takes_at_most_eight_round_trips_over_at_most_eight_connections_a_region() {
    let slow = || Settings { latency_ms: 1500, ..Settings::default() };
    for there in [true, false] {
        let mut scene = Scene::with(slow(), &[]).await;
        for (region, _) in REGIONS {
            for number in 0..20 {
                let keys: &[&str] = if there && region == "ap-southeast-5" && number == 19 { &[KEY] } else { &[] };
                scene = scene.seeded(region, &format!("{region}-{number:02}"), keys);
            }
        }
        let started = Instant::now();
        let answer = scene.respond(&key_only()).await;
        let round_trips = started.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64();
        assert_eq!(answer.outcome(), if there { "revoked" } else { "not_lightsail_key" });
        assert!(round_trips < 8.0, "{round_trips} round trips");
        let requests = scene.simulator.requests();
        // Here all Regions are one host and share its connections, so which of them carried whose requests says nothing of
        // AWS's hosts. What does: how many there are, and how many requests of a Region are under way at once.
        let connections = requests.iter().map(|seen| seen.connection).collect::<HashSet<_>>().len();
        assert!(connections <= 8 * 19, "{connections} connections to 19 Regions");
        let mut arrivals: HashMap<&str, Vec<u64>> = HashMap::new();
        for seen in &requests {
            arrivals.entry(&seen.region).or_default().push(seen.at_ms);
        }
        assert_eq!(arrivals.len(), 19);
        let under_way = |times: &[u64], now: u64| times.iter().filter(|at| (now..now + 1400).contains(at)).count();
        let most = arrivals.values().flat_map(|times| times.iter().map(|now| under_way(times, *now))).max();
        assert!(most <= Some(8), "{most:?} requests to one Region at once");
        if !there {
            assert_eq!((scene.count("GetBuckets"), scene.count("GetBucketAccessKeys")), (19, 380));
        }
    }
}

#[tokio::test]
async fn that_a_key_is_not_on_the_bucket_that_was_named_is_no_proof_while_it_may_be_elsewhere() {
    let scene = Scene::new().await.seeded("us-east-1", "photos", &[SIBLING]).seeded("eu-west-1", "logs", &[KEY]);
    let scene = scene.scripted(Script::new("GetBuckets", Fault::AccessDenied).every().in_region("eu-west-1"));
    let answer = scene.respond(&by_hand()).await;
    assert_eq!((answer.outcome(), answer.unmapped("/verification")), ("search_incomplete", &json!(null)));
    assert_eq!(scene.keys("eu-west-1", "logs"), [KEY]);
}

#[tokio::test]
async fn twenty_keys_that_are_searched_for_at_once_share_the_connections_of_a_region() {
    let mut scene = Scene::with(Settings { latency_ms: 20, ..Settings::default() }, &[]).await;
    for number in 0..20 {
        scene = scene.seeded("eu-west-1", &format!("bucket-{number:02}"), &[&format!("AKIAQQQQQQQQQQQQQQ{number:02}")]);
    }
    let keys: Vec<_> = (0..20).map(|number| format!("AKIAQQQQQQQQQQQQQQ{number:02}")).collect();
    let (lines, result) = scene.deliver(&json!({"accessKeyId": keys})).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(lines.len() == 20 && lines.iter().all(|line| line["audit"]["status_code"] == "revoked"));
    // Reads never are more than eight at once; the deletes do not wait for them.
    let at = |seen: &lightsail_simulator::SeenRequest| seen.at_ms;
    let reads = scene.simulator.requests().into_iter().filter(|seen| seen.region == "eu-west-1");
    let reads: Vec<_> = reads.filter(|seen| seen.operation != "DeleteBucketAccessKey").collect();
    let most = reads.iter().map(|one| reads.iter().filter(|other| at(one).abs_diff(at(other)) < 10).count()).max();
    assert!(most <= Some(16), "{most:?} reads within 20 ms");
}
