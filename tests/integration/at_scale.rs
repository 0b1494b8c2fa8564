//! Tests of the search at full size, in simulated time with round trips of 100 ms: its requests and its time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use lightsail_key_responder::regions::REGIONS;
use lightsail_simulator::{Fault, Role, Script, Seed, SeenRequest, Settings};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scene::{ACCOUNT, KEY, MEMBER, ROLE, Scene, key_only, manual_event};

const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Concurrency limit of a search in one Region, as docs/security.md documents it.
const IN_FLIGHT: usize = 8;

/// Buckets of a Region at most (AWS General Reference, "Lightsail endpoints and quotas").
const BUCKETS_OF_REGION: usize = 20;

fn settings() -> Settings {
    Settings { latency_ms: 100, ..Settings::default() }
}

/// Own account with the most buckets that it can have. `keys` are on the first ones, two on each.
async fn full_account(keys: &[String]) -> Scene {
    let mut scene = Scene::with(settings(), &[]).await;
    let mut keys = keys.chunks(2);
    for number in 0..BUCKETS_OF_REGION {
        for (region, _) in REGIONS {
            let keys = keys.next().unwrap_or_default().iter().map(String::as_str).collect::<Vec<_>>();
            scene = scene.seeded(region, &format!("{region}-{number:02}"), &keys);
        }
    }
    scene
}

/// Own account and member accounts, so many together, with 40 buckets each, none with the key.
async fn many_accounts(count: usize) -> Scene {
    let members = (1..count).map(|number| format!("2000000000{number:02}")).collect::<Vec<_>>();
    let variables = [("MEMBER_ROLE_NAME", ROLE), ("ALLOWED_ACCOUNTS", &members.join(","))];
    let scene = Scene::with(settings(), &variables).await;
    for account in members.iter().map(String::as_str).chain([ACCOUNT]) {
        if account != ACCOUNT {
            scene.simulator.role(Role::new(account, ROLE)).unwrap();
        }
        for number in 0..40 {
            let (region, _) = REGIONS[number % REGIONS.len()];
            scene.simulator.seed(Seed::bucket(region, &format!("b-{account}-{number}")).account(account)).unwrap();
        }
    }
    scene
}

fn ids(count: usize) -> Vec<String> {
    let digit = |number: usize| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[number % 32]);
    (0..count).map(|number| format!("AKIAQQQQQQQQQQQQQQ{}{}", digit(number / 32), digit(number))).collect()
}

/// SQS batch of ten messages with these keys.
fn batch(keys: &[String], bucket: Option<&str>) -> Value {
    let message = |(number, keys): (usize, &[String])| {
        let mut body = json!({"accessKeyId": keys});
        if let Some(bucket) = bucket {
            body["bucketName"] = json!(bucket);
        }
        json!({
            "messageId": format!("message-{number}"), "eventSource": "aws:sqs", "body": body.to_string(),
            "eventSourceARN": format!("arn:aws:sqs:us-east-1:{ACCOUNT}:alerts"),
        })
    };
    json!({"Records": keys.chunks(keys.len().div_ceil(10)).enumerate().map(message).collect::<Vec<_>>()})
}

/// Outcomes of a delivery, and the round trips that it took.
async fn deliver(scene: &Scene, event: &Value) -> (BTreeMap<String, usize>, f64) {
    let started = Instant::now();
    let (lines, _) = scene.deliver_within(&event.to_string(), Duration::from_secs(120)).await;
    let took = started.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64();
    let mut outcomes = BTreeMap::new();
    for line in lines {
        *outcomes.entry(line["audit"]["status_code"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    (outcomes, took)
}

/// Requests of a search, by account, Region, operation, bucket and page: a sweep makes none of them twice.
fn sweeps(scene: &Scene) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for seen in scene.simulator.requests().into_iter().filter(|seen| seen.operation == "GetBuckets") {
        *counts.entry(format!("{} {}", seen.account, seen.region)).or_default() += 1;
    }
    counts
}

/// Most requests that were in flight in one Region at the same time.
fn most_in_flight(requests: &[SeenRequest], takes: u64) -> usize {
    let mut arrivals: HashMap<&str, Vec<u64>> = HashMap::new();
    requests.iter().for_each(|seen| arrivals.entry(&seen.region).or_default().push(seen.at_ms));
    let in_flight = |times: &[u64], now: u64| times.iter().filter(|at| (now..now + takes).contains(at)).count();
    arrivals.values().flat_map(|times| times.iter().map(|now| in_flight(times, *now))).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn full_account_takes_twelve_round_trips() {
    let none = full_account(&[]).await;
    let (outcomes, round_trips) = deliver(&none, &key_only()).await;
    assert_eq!(outcomes, [("not_lightsail_key".to_owned(), 1)].into());
    assert!(round_trips <= 12.0, "{round_trips} round trips");
    assert_eq!((none.count("GetRegions"), none.count("GetBuckets"), none.count("GetBucketAccessKeys")), (1, 19, 380));
    let requests = none.simulator.requests();
    assert_eq!(most_in_flight(&requests, 100), IN_FLIGHT);
    let connections = requests.iter().map(|seen| seen.connection).collect::<HashSet<_>>().len();
    assert!(connections <= IN_FLIGHT * REGIONS.len() + 1, "{connections} connections");
    eprintln!("full account: {round_trips:.1} round trips");
}

#[tokio::test(start_paused = true)]
async fn hung_region_delays_itself_only() {
    let scene = many_accounts(100).await;
    for operation in ["GetBuckets", "GetBucketAccessKeys", "GetRegions"] {
        let hung = Script::new(operation, Fault::HangBefore).every().in_region("ap-southeast-5");
        scene.simulator.script(hung).unwrap();
    }
    let (outcomes, round_trips) = deliver(&scene, &key_only()).await;
    assert_eq!(outcomes, [("search_incomplete".to_owned(), 1)].into());
    assert!(round_trips <= 200.0, "{round_trips} round trips");
    eprintln!("100 accounts, one Region hung: {round_trips:.1} round trips");
    let requests = scene.simulator.requests();
    let elsewhere = requests.iter().filter(|seen| seen.region != "ap-southeast-5").collect::<Vec<_>>();
    let first = requests.iter().map(|seen| seen.at_ms).min().unwrap();
    let last = elsewhere.iter().map(|seen| seen.at_ms).max().unwrap();
    assert!(last - first < 8_000, "the other Regions took {} ms", last - first);
    // Once each: the role, the list of buckets, the keys of 40 buckets without those of the hung Region.
    let of = |operation: &str| elsewhere.iter().filter(|seen| seen.operation == operation).count();
    assert_eq!((of("AssumeRole"), of("GetBuckets")), (99, 100 * 18));
    let hung = requests.len() - elsewhere.len();
    assert!(hung <= 60, "{hung} requests to the hung Region");
}

/// A key in the last account is not behind the hung Region.
#[tokio::test(start_paused = true)]
async fn key_is_deleted_beside_hung_region() {
    let scene = many_accounts(30).await;
    for operation in ["GetBuckets", "GetBucketAccessKeys", "GetRegions"] {
        let hung = Script::new(operation, Fault::HangBefore).every().in_region("ap-southeast-5");
        scene.simulator.script(hung).unwrap();
    }
    scene.simulator.seed(Seed::bucket("eu-west-2", "photos").account("200000000029").key(KEY)).unwrap();
    let (outcomes, round_trips) = deliver(&scene, &key_only()).await;
    assert_eq!(outcomes, [("revoked".to_owned(), 1)].into());
    assert!(round_trips <= 20.0, "{round_trips} round trips");
    eprintln!("key in the last of 30 accounts, one Region hung: {round_trips:.1} round trips");
}

#[tokio::test(start_paused = true)]
async fn two_hundred_keys_share_one_sweep() {
    let keys = ids(200);
    for (seeded, bucket) in [(false, None), (true, None), (false, Some("us-east-1-00")), (true, Some("us-east-1-19"))] {
        let seed = |count: usize| if seeded { keys[..count].to_vec() } else { Vec::new() };
        let one = full_account(&seed(1)).await;
        let (_, alone) = deliver(&one, &batch(&keys[..1], bucket)).await;
        let all = full_account(&seed(200)).await;
        let (outcomes, together) = deliver(&all, &batch(&keys, bucket)).await;
        let outcome = match (seeded, bucket) {
            (true, _) => "revoked",
            (false, None) => "not_lightsail_key",
            (false, Some(_)) => "already_absent",
        };
        assert_eq!(outcomes, [(outcome.to_owned(), 200)].into(), "{seeded} {bucket:?}");
        assert!(sweeps(&all).values().all(|count| *count == 1), "{seeded} {bucket:?}: {:?}", sweeps(&all));
        assert!(together <= 2.0 * alone, "{seeded} {bucket:?}: {together} round trips, one key alone {alone}");
        eprintln!("200 keys, live: {seeded}, named: {bucket:?}: {together:.1} round trips, one alone {alone:.1}");
    }
}

#[tokio::test(start_paused = true)]
async fn verification_does_not_queue_behind_search() {
    let gone_after = |with_search: bool| async move {
        let scene = many_accounts(20).await.seeded("us-east-1", "photos", &[KEY]);
        // The read beside the delete sees the key.
        let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 200 }));
        let mut alerts = vec![manual_event()];
        if with_search {
            alerts.insert(0, json!({"accessKeyId": ids(1)[0]}));
        }
        let (lines, _) = scene.deliver_within(&json!(alerts).to_string(), Duration::from_secs(120)).await;
        let records = lines.iter().map(|line| &line["audit"]);
        let record = records.into_iter().find(|record| record["unmapped"]["access_key"]["id"] == KEY).unwrap();
        assert_eq!(record["status_code"], "revoked");
        record["unmapped"]["timing_ms"]["verified"].as_u64().unwrap()
    };
    let (alone, beside) = (gone_after(false).await, gone_after(true).await);
    assert_eq!(beside, alone, "ms until the key was seen to be gone");
}

#[tokio::test(start_paused = true)]
async fn timed_out_region_is_tried_again_at_end() {
    let scene = full_account(&ids(1)).await;
    // Three attempts of 3 s are one call of the first try.
    let hung = Script::new("GetBuckets", Fault::HangBefore).times(4).in_region("sa-east-1");
    scene.simulator.script(hung).unwrap();
    let (outcomes, round_trips) = deliver(&scene, &key_only()).await;
    assert_eq!(outcomes, [("not_lightsail_key".to_owned(), 1)].into());
    let requests = scene.simulator.requests();
    let tries = requests.iter().filter(|seen| seen.operation == "GetBuckets" && seen.region == "sa-east-1");
    let at = tries.map(|seen| seen.at_ms).collect::<Vec<_>>();
    assert!(at.len() == 5 && round_trips < 150.0, "{at:?}, {round_trips} round trips");
}

#[tokio::test(start_paused = true)]
async fn throttled_region_backs_off() {
    let scene = full_account(&[]).await;
    let throttled = Script::new("GetBucketAccessKeys", Fault::Throttled).times(40).in_region("eu-west-1");
    scene.simulator.script(throttled).unwrap();
    let (outcomes, round_trips) = deliver(&scene, &key_only()).await;
    assert_eq!(outcomes, [("not_lightsail_key".to_owned(), 1)].into());
    assert!(round_trips <= 40.0, "{round_trips} round trips");
    let requests = scene.simulator.requests();
    assert!(most_in_flight(&requests, 100) <= IN_FLIGHT);
    let of = |region: &str| requests.iter().filter(|seen| seen.region == region).count();
    assert_eq!((of("eu-west-1"), of("eu-west-2")), (21 + 40, 21));
}

/// The read beside the delete fails, but the search for another key sees this one before AWS answers.
#[tokio::test(start_paused = true)]
async fn sighting_of_other_search_is_evidence() {
    let scene = Scene::with(settings(), &[]).await.seeded("us-east-1", "photos", &[KEY]);
    let scene = scene.scripted(Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 2_000 }));
    let scene = scene.scripted(Script::new("GetBucketAccessKeys", Fault::AccessDenied));
    let (lines, _) = scene.deliver(&json!([{"accessKeyId": ids(1)[0]}, manual_event()])).await;
    let mut records = lines.iter().map(|line| &line["audit"]);
    let record = records.find(|record| record["unmapped"]["access_key"]["id"] == KEY).unwrap();
    assert_eq!(record["status_code"], "revoked");
    assert_eq!(record["unmapped"]["access_key"]["evidence"], "listed");
    assert_eq!(record["unmapped"]["search"], json!(null), "no search of its own");
    assert_eq!(scene.count("DeleteBucketAccessKey"), 1);
}

/// A search that has ended must not hold the permits that another one waits for.
#[tokio::test(start_paused = true)]
async fn ended_search_does_not_block_another() {
    let variables = [("MEMBER_ROLE_NAME", ROLE), ("ALLOWED_ACCOUNTS", MEMBER)];
    let mut scene = Scene::with(settings(), &variables).await.seeded("us-east-1", "photos", &[KEY]);
    scene.simulator.role(Role::new(MEMBER, ROLE)).unwrap();
    for number in 0..BUCKETS_OF_REGION {
        scene = scene.seeded("eu-west-1", &format!("own-{number:02}"), &[]);
    }
    let slow = Script::new("GetBucketAccessKeys", Fault::Latency { ms: 2_500 }).every().in_region("eu-west-1");
    let late = Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 1_000 }).in_region("eu-west-1");
    let scene = scene.scripted(slow).scripted(late).seeded_in(MEMBER, "ledger", &[]);
    let other = json!({"accessKeyId": ids(1)[0], "accountId": MEMBER, "bucketName": "ledger", "region": "eu-west-1"});
    let (outcomes, _) = deliver(&scene, &json!([key_only(), other])).await;
    assert_eq!(outcomes, [("already_absent".to_owned(), 1), ("revoked".to_owned(), 1)].into());
}
