//! Trials with the same key in many alerts: ten concurrent copies, ten copies in one batch, and four sources in each
//! order.
//!
//! Sources repeat themselves and each other, and Lambda delivers at least once.
//!
//! Invariants: each copy succeeds and has one record. One copy deletes the key. No other key is deleted. A late copy
//! needs few requests.
//!
//! Summaries go to standard error.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::DeleteBucketAccessKey;
use lightsail_simulator::Settings as SimulatorSettings;
use responder_trials::{ACCOUNT, Lambda, Scene, Settings, report};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(60);
const COPIES: usize = 10;

/// Number of races between ten copies. Each race has a random winner.
const RACES: usize = 10;

/// Number of Regions with Lightsail. A search reads each of them.
const REGIONS: usize = 19;
/// Maximum requests of a late copy: the delete on its named bucket, two reads of that bucket's keys (one concurrent
/// with the delete, one after it), one page of buckets in each Region, and the keys of both existing buckets.
const MAX_REQUESTS_OF_REPEAT: usize = 1 + 2 + REGIONS + 2;

/// Concurrency limit of the orders.
const CONCURRENT_ORDERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_concurrent_copies_with_bucket_succeed() {
    race(&Scene::named(), &["revoked", "already_absent"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_concurrent_copies_without_bucket_succeed() {
    race(&Scene::key_only(), &["revoked", "already_absent", "not_lightsail_key"]).await;
}

/// Sends the same event to ten processes concurrently, and repeats this for each race.
async fn race(event: &Value, good: &[&str]) {
    let started = Instant::now();
    let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
    let settings = Settings::new(&scene.simulator.endpoint());
    let mut lambdas: Vec<Lambda> = (0..COPIES).map(|_| Lambda::start(settings.clone()).unwrap()).collect();
    for lambda in &mut lambdas {
        // Warm processes start the event at the same time. Cold ones would not.
        lambda.invoke(&Scene::ignored(), TIMEOUT).await.unwrap();
    }
    let (mut outcomes, mut deletes, mut violations) = (BTreeMap::<String, usize>::new(), 0, Vec::new());
    for race in 0..RACES {
        scene.reset().unwrap();
        let answers = join_all(lambdas.iter_mut().map(|lambda| lambda.invoke(event, TIMEOUT))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let ended: Vec<_> = answers.iter().map(|answer| outcome(&answer.records[0])).collect();
        if !ended.contains(&"revoked") || !ended.iter().all(|outcome| good.contains(outcome)) {
            violations.push(format!("race {race} ended as {ended:?}"));
        }
        for answer in &answers {
            violations.extend(scene.violations(answer));
            violations.extend(answer.response.is_err().then(|| format!("race {race}: {answer:#?}")));
        }
        for outcome in ended {
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
        deletes += scene.simulator.requests().iter().filter(|seen| seen.operation == DeleteBucketAccessKey).count();
    }
    let seconds = started.elapsed().as_secs_f64();
    report(&format!("{RACES} races of {COPIES} copies of {event}: {outcomes:?}, {deletes} deletes, {seconds:.1} s"));
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(deletes > RACES, "no race had two deletes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_copies_in_one_batch_succeed() {
    for event in [Scene::named(), Scene::key_only()] {
        let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
        let mut lambda = Lambda::start(Settings::new(&scene.simulator.endpoint())).unwrap();
        let item = |number: usize| {
            let id = format!("059f36b4-87a3-44ab-83d2-{number:012}");
            json!({"messageId": id, "eventSource": "aws:sqs", "body": event.to_string()})
        };
        let items: Vec<_> = (0..COPIES).map(item).collect();
        let ids: BTreeSet<_> = items.iter().map(|item| item["messageId"].as_str().unwrap()).collect();
        let answer = lambda.invoke(&json!({"Records": items}), TIMEOUT).await.unwrap();

        assert_eq!(answer.response.as_ref().unwrap(), &json!({"batchItemFailures": []}), "{answer:#?}");
        let named =
            answer.records.iter().map(|record| record["unmapped"]["invocation"]["message_id"].as_str().unwrap());
        assert_eq!((answer.records.len(), named.collect::<BTreeSet<_>>()), (COPIES, ids));
        let ended: Vec<_> = answer.records.iter().map(outcome).collect();
        assert!(ended.contains(&"revoked"), "{ended:?}");
        assert!(!scene.key_exists());
        assert_eq!(scene.harm_to_other_keys(), Vec::<String>::new());
        report(&format!(
            "a batch of {COPIES} copies of {event}: {ended:?}, {} requests",
            scene.simulator.requests().len()
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_alerts_of_one_incident_succeed_in_any_order() {
    let started = Instant::now();
    let orders = orders();
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), 24);
    let all: Vec<_> = stream::iter(&orders).map(deliver).buffered(CONCURRENT_ORDERS).collect().await;
    let most = all.iter().map(|(most, _)| most).max().unwrap();
    report(&format!(
        "{} orders: a repeat sent at most {most} requests of {MAX_REQUESTS_OF_REPEAT}; {:.1} s",
        all.len(),
        started.elapsed().as_secs_f64()
    ));
    let violations: Vec<String> = all.into_iter().flat_map(|(_, violations)| violations).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Delivers the alerts in one order to one process. Returns the most requests of a repeat, and all violations.
async fn deliver(order: &[usize; 4]) -> (usize, Vec<String>) {
    let alerts = alerts();
    let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
    let mut lambda = Lambda::start(Settings::new(&scene.simulator.endpoint())).unwrap();
    let (mut most, mut violations, mut line) = (0, Vec::new(), Vec::new());
    for (index, alert) in order.iter().map(|alert| &alerts[*alert]).enumerate() {
        let before = scene.simulator.requests().len();
        let answer = lambda.invoke(&alert.event, TIMEOUT).await.unwrap();
        let requests = scene.simulator.requests().len() - before;
        let record = &answer.records[0];
        let outcome = outcome(record);
        line.push(format!("{} {outcome} ({requests})", alert.source));
        violations.extend(scene.violations(&answer));
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                violations.push(format!("{problem}: {}: {record}", line.join(", ")));
            }
        };
        let read = &record["unmapped"];
        require(read["access_key"]["id"] == Scene::KEY, "another key was read");
        require(read["alert"]["source"] == alert.source, "another source was read");
        require(answer.response.is_ok(), "the delivery failed");
        let repeated = if alert.names_existing_bucket { "already_absent" } else { "not_lightsail_key" };
        require(outcome == if index == 0 { "revoked" } else { repeated }, "another outcome");
        require(!scene.key_exists(), "the key exists");
        if index > 0 {
            most = most.max(requests);
            require(requests <= MAX_REQUESTS_OF_REPEAT, "a repeat sends too many requests");
        }
    }
    report(&line.join(", "));
    if lambda.processes() != 1 || lambda.records().len() != order.len() {
        violations.push(format!("{} processes, {} records", lambda.processes(), lambda.records().len()));
    }
    (most, violations)
}

struct Alert {
    source: &'static str,
    event: Value,
    names_existing_bucket: bool,
}

/// Returns the alerts of four sources about the same key.
fn alerts() -> [Alert; 4] {
    let read = |text: &str| {
        // The files are examples of single alerts. Here they must belong to one incident.
        assert!(text.contains(Scene::KEY) && text.contains(ACCOUNT), "{text}");
        serde_json::from_str(text).unwrap()
    };
    let manual_event = json!({
        "accessKeyId": Scene::KEY,
        "bucketName": Scene::OTHER_BUCKET,
        "region": Scene::OTHER_REGION,
        "accountId": ACCOUNT,
    });
    [
        Alert {
            source: "aws.guardduty",
            event: read(include_str!("../../../events/guardduty-s3-exfiltration.json")),
            names_existing_bucket: true,
        },
        Alert {
            source: "aws.health",
            event: read(include_str!("../../../events/health-credentials-exposed.json")),
            names_existing_bucket: false,
        },
        Alert {
            source: "aws.securityhub",
            event: read(include_str!("../../../events/security-hub-imported.json")),
            names_existing_bucket: true,
        },
        Alert { source: "direct", event: manual_event, names_existing_bucket: true },
    ]
}

/// Returns all orders of four alerts.
fn orders() -> Vec<[usize; 4]> {
    let all = 0..4 * 4 * 4 * 4;
    let digits = all.map(|number| [number / 64, number / 16 % 4, number / 4 % 4, number % 4]);
    digits.filter(|order| order.iter().collect::<BTreeSet<_>>().len() == 4).collect()
}

fn outcome(record: &Value) -> &str {
    record["status_code"].as_str().unwrap()
}
