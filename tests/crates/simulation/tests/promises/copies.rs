//! The same key in many alerts: ten copies at once, ten in one batch, and four sources in each order.
//!
//! Sources repeat themselves and each other, and Lambda delivers at least once.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use lightsail_simulator::Settings;
use responder_simulation::world::{BUCKET, Delivery, KEYS, Route, World, event};
use responder_simulation::{ACCOUNT, REGION, on_all_processors, simulate};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(60);
const COPIES: usize = 10;
/// Races between ten copies, each with another winner.
const RACES: u64 = 50;
/// Regions with Lightsail. A search reads each of them.
const REGIONS: usize = 19;
/// Requests of a late copy: the delete on its named bucket, two reads of that bucket's keys (one beside the delete, one
/// after it), the list of Regions, one page of buckets in each, and the keys of both buckets. A finding does not name the owner: for
/// it, a session and each Region of the member account too.
const MAX_REQUESTS_OF_REPEAT: usize = 1 + 2 + 1 + REGIONS + 2 + 1 + REGIONS;

/// Ten processes get the same alert within three milliseconds.
fn race(seed: u64, route: Route) -> Vec<Delivery> {
    simulate(seed, async {
        let mut rng = Rng::with_seed(seed);
        let latency_ms = rng.u64(1..5);
        let world = &World::new(route, Settings { latency_ms, ..Settings::default() });
        let copies = (0..COPIES).map(|number| {
            let (process, start) = (world.start_process(), Duration::from_micros(rng.u64(0..3_000)));
            async move {
                tokio::time::sleep(start).await;
                world.deliver_to(&process, &event(route), number, TIMEOUT).await
            }
        });
        join_all(copies).await
    })
}

#[test]
fn concurrent_copies_all_succeed() {
    let named = (Route::Named, &["revoked", "already_absent"][..]);
    let searched = (Route::Searched, &["revoked", "already_absent", "not_lightsail_key"][..]);
    for (route, good) in [named, searched] {
        let races = on_all_processors((0..RACES).collect(), |seed| race(seed, route));
        let mut winners = BTreeSet::new();
        for (seed, deliveries) in races.iter().enumerate() {
            let outcomes = deliveries.iter().map(Delivery::outcome).collect::<Vec<_>>();
            assert!(outcomes.iter().all(|outcome| good.contains(outcome)), "seed {seed}: {outcomes:?}");
            winners.insert(outcomes.iter().position(|outcome| *outcome == "revoked").unwrap());
            let last = deliveries.iter().max_by_key(|delivery| delivery.at + delivery.took).unwrap();
            assert!(deliveries.iter().all(|delivery| delivery.answer.is_ok()), "seed {seed}: {outcomes:?}");
            assert!(last.others_deleted.is_empty() && !last.keys[0].alive, "seed {seed}: {}", last.describe());
        }
        assert!(winners.len() > 3, "{winners:?}");
    }
}

#[test]
fn copies_in_one_batch_all_succeed() {
    for route in [Route::Named, Route::Searched] {
        let item = |number: usize| {
            let id = format!("059f36b4-87a3-44ab-83d2-{number:012}");
            json!({"messageId": id, "eventSource": "aws:sqs", "body": event(route).to_string()})
        };
        let items = (0..COPIES).map(item).collect::<Vec<_>>();
        let delivery = simulate(0, async {
            let world = World::new(route, Settings::default());
            world.deliver_to(&world.process, &json!({"Records": items}), 0, TIMEOUT).await
        });
        let id = |record: &Value| record["unmapped"]["invocation"]["message_id"].as_str().unwrap().to_owned();
        let ids = delivery.records.iter().map(id).collect::<BTreeSet<_>>();
        assert_eq!((delivery.records.len(), ids.len()), (COPIES, COPIES), "{}", delivery.describe());
        let outcomes = delivery.records.iter().map(|record| record["status_code"].as_str().unwrap());
        let outcomes = outcomes.collect::<Vec<_>>();
        assert_eq!(delivery.answer.as_ref().unwrap(), &[json!({"batchItemFailures": []})], "{outcomes:?}");
        assert!(outcomes.contains(&"revoked"), "{outcomes:?}");
        assert!(delivery.others_deleted.is_empty() && !delivery.keys[0].alive, "{}", delivery.describe());
    }
}

/// Alerts of four sources about the same key, and whether each names an existing bucket.
fn alerts() -> [(&'static str, Value, bool); 4] {
    let read = |text: &str| {
        // The files are examples of single alerts. Here they must belong to one incident.
        assert!(text.contains(KEYS[0]) && text.contains(ACCOUNT), "{text}");
        serde_json::from_str(text).unwrap()
    };
    let manual = json!({"accessKeyId": KEYS[0], "bucketName": BUCKET, "region": REGION, "accountId": ACCOUNT});
    [
        ("aws.guardduty", read(include_str!("../../../../../events/guardduty-s3-exfiltration.json")), true),
        ("aws.health", read(include_str!("../../../../../events/health-credentials-exposed.json")), false),
        ("aws.securityhub", read(include_str!("../../../../../events/security-hub-imported.json")), true),
        ("direct", manual, true),
    ]
}

#[test]
fn four_alerts_of_one_incident_succeed_in_any_order() {
    let digits = (0..4 * 4 * 4 * 4).map(|number| [number / 64, number / 16 % 4, number / 4 % 4, number % 4]);
    let orders = digits.filter(|order| order.iter().collect::<BTreeSet<_>>().len() == 4).collect::<Vec<_>>();
    assert_eq!(orders.len(), 24);
    for order in orders {
        simulate(0, async {
            let (world, alerts) = (World::with(Route::Searched, Settings::default(), ""), alerts());
            for (place, alert) in order.iter().enumerate() {
                let (source, event, names_existing_bucket) = &alerts[*alert];
                let delivery = world.deliver_to(&world.process, event, place, TIMEOUT).await;
                let context = || format!("{order:?}, {source}: {}", delivery.describe());
                let repeated = if *names_existing_bucket { "already_absent" } else { "not_lightsail_key" };
                assert_eq!(delivery.outcome(), if place == 0 { "revoked" } else { repeated }, "{}", context());
                assert_eq!(delivery.record(KEYS[0])["unmapped"]["alert"]["source"], *source, "{}", context());
                assert!(delivery.answer.is_ok() && !delivery.keys[0].alive, "{}", context());
                assert!(place == 0 || delivery.requests.len() <= MAX_REQUESTS_OF_REPEAT, "{}", context());
            }
        });
    }
}
