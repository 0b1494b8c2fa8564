//! The same key in many alerts: ten copies at once, ten in one batch, and four sources one after the other in every order.
//!
//! Sources repeat themselves and each other, and Lambda delivers at least once. Invariants: every copy ends well and has one
//! record, one of them deletes the key, no other key is touched, and a copy that comes late costs little.
//!
//! Summaries go to standard error.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::DeleteBucketAccessKey;
use lightsail_simulator::Settings as SimulatorSettings;
use responder_trials::{ACCOUNT, Lambda, Scene, Settings, say};
use serde_json::{Value, json};

const TIME: Duration = Duration::from_secs(60);
const COPIES: usize = 10;

/// How often ten copies race. Who wins is chance.
const RACES: usize = 10;

/// That Lightsail has, each searched.
const REGIONS: usize = 19;
/// Of a copy that comes late: the delete of the bucket that it names, a look at its keys, beside that or after it, one page
/// of buckets in every Region, and the keys of the two buckets that there are.
const MOST_REQUESTS_OF_A_REPEAT: usize = 1 + 2 + REGIONS + 2;

const ORDERS_SIDE_BY_SIDE: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_copies_that_name_the_bucket_all_end_well_at_once() {
    race(&Scene::named(), &["revoked", "already_absent"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_copies_that_name_the_key_alone_all_end_well_at_once() {
    race(&Scene::key_alone(), &["revoked", "already_absent", "not_lightsail_key"]).await;
}

/// Ten processes get the same event at once, again and again.
async fn race(event: &Value, good: &[&str]) {
    let started = Instant::now();
    let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
    let settings = Settings::new(&scene.simulator.endpoint());
    let mut lambdas: Vec<Lambda> = (0..COPIES).map(|_| Lambda::start(settings.clone()).unwrap()).collect();
    for lambda in &mut lambdas {
        // They would not start at once.
        lambda.invoke(&Scene::ignored(), TIME).await.unwrap();
    }
    let (mut outcomes, mut deletes, mut wrong) = (BTreeMap::<String, usize>::new(), 0, Vec::new());
    for race in 0..RACES {
        scene.anew().unwrap();
        let answers = join_all(lambdas.iter_mut().map(|lambda| lambda.invoke(event, TIME))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let ended: Vec<_> = answers.iter().map(|answer| outcome(&answer.records[0])).collect();
        if !ended.contains(&"revoked") || !ended.iter().all(|outcome| good.contains(outcome)) {
            wrong.push(format!("race {race} ended as {ended:?}"));
        }
        for answer in &answers {
            wrong.extend(scene.wrong(answer));
            wrong.extend(answer.response.is_err().then(|| format!("race {race}: {answer:#?}")));
        }
        for outcome in ended {
            *outcomes.entry(outcome.to_owned()).or_default() += 1;
        }
        deletes += scene.simulator.requests().iter().filter(|seen| seen.operation == DeleteBucketAccessKey).count();
    }
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("{RACES} races of {COPIES} copies of {event}: {outcomes:?}, {deletes} deletes, {seconds:.1} s"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(deletes > RACES, "no two copies ever went for the key at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_copies_in_one_batch_all_end_well() {
    for event in [Scene::named(), Scene::key_alone()] {
        let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
        let mut lambda = Lambda::start(Settings::new(&scene.simulator.endpoint())).unwrap();
        let item = |number: usize| {
            let id = format!("059f36b4-87a3-44ab-83d2-{number:012}");
            json!({"messageId": id, "eventSource": "aws:sqs", "body": event.to_string()})
        };
        let items: Vec<_> = (0..COPIES).map(item).collect();
        let ids: BTreeSet<_> = items.iter().map(|item| item["messageId"].as_str().unwrap()).collect();
        let answer = lambda.invoke(&json!({"Records": items}), TIME).await.unwrap();

        assert_eq!(answer.response.as_ref().unwrap(), &json!({"batchItemFailures": []}), "{answer:#?}");
        let named =
            answer.records.iter().map(|record| record["unmapped"]["invocation"]["message_id"].as_str().unwrap());
        assert_eq!((answer.records.len(), named.collect::<BTreeSet<_>>()), (COPIES, ids));
        let ended: Vec<_> = answer.records.iter().map(outcome).collect();
        assert!(ended.contains(&"revoked"), "{ended:?}");
        assert!(!scene.key_is_there());
        assert_eq!(scene.harm_to_others(), Vec::<String>::new());
        say(&format!(
            "a batch of {COPIES} copies of {event}: {ended:?}, {} requests",
            scene.simulator.requests().len()
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_alerts_of_one_incident_end_well_in_every_order() {
    let started = Instant::now();
    let orders = orders();
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), 24);
    let all: Vec<_> = stream::iter(&orders).map(deliver).buffered(ORDERS_SIDE_BY_SIDE).collect().await;
    let most = all.iter().map(|(most, _)| most).max().unwrap();
    say(&format!(
        "{} orders: a repeat cost {most} requests at most, of {MOST_REQUESTS_OF_A_REPEAT}; {:.1} s",
        all.len(),
        started.elapsed().as_secs_f64()
    ));
    let wrong: Vec<String> = all.into_iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The alerts in one order, to one process: how many requests a repeat cost at most, and what went wrong.
async fn deliver(order: &[usize; 4]) -> (usize, Vec<String>) {
    let alerts = alerts();
    let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
    let mut lambda = Lambda::start(Settings::new(&scene.simulator.endpoint())).unwrap();
    let (mut most, mut wrong, mut line) = (0, Vec::new(), Vec::new());
    for (place, alert) in order.iter().map(|alert| &alerts[*alert]).enumerate() {
        let before = scene.simulator.requests().len();
        let answer = lambda.invoke(&alert.event, TIME).await.unwrap();
        let requests = scene.simulator.requests().len() - before;
        let record = &answer.records[0];
        let outcome = outcome(record);
        line.push(format!("{} {outcome} ({requests})", alert.source));
        wrong.extend(scene.wrong(&answer));
        let mut unless = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}: {}: {record}", line.join(", ")));
            }
        };
        let read = &record["unmapped"];
        unless(read["access_key"]["id"] == Scene::KEY, "another key was read");
        unless(read["alert"]["source"] == alert.source, "another source was read");
        unless(answer.response.is_ok(), "not every delivery succeeds");
        let again = if alert.names_a_bucket_of_ours { "already_absent" } else { "not_lightsail_key" };
        unless(outcome == if place == 0 { "revoked" } else { again }, "another outcome");
        unless(!scene.key_is_there(), "the key is there");
        if place > 0 {
            most = most.max(requests);
            unless(requests <= MOST_REQUESTS_OF_A_REPEAT, "a repeat is dear");
        }
    }
    say(&line.join(", "));
    if lambda.processes() != 1 || lambda.records().len() != order.len() {
        wrong.push(format!("{} processes, {} records", lambda.processes(), lambda.records().len()));
    }
    (most, wrong)
}

struct AlertOfOneKey {
    source: &'static str,
    event: Value,
    names_a_bucket_of_ours: bool,
}

/// What four sources say of the same key.
fn alerts() -> [AlertOfOneKey; 4] {
    let read = |text: &str| {
        // They are examples of single alerts; together they must be of one incident.
        assert!(text.contains(Scene::KEY) && text.contains(ACCOUNT), "{text}");
        serde_json::from_str(text).unwrap()
    };
    let by_hand = json!({
        "accessKeyId": Scene::KEY, "bucketName": Scene::OTHER_BUCKET, "region": Scene::ELSEWHERE, "accountId": ACCOUNT,
    });
    [
        AlertOfOneKey {
            source: "aws.guardduty",
            event: read(include_str!("../../../events/guardduty-s3-exfiltration.json")),
            names_a_bucket_of_ours: true,
        },
        AlertOfOneKey {
            source: "aws.health",
            event: read(include_str!("../../../events/health-credentials-exposed.json")),
            names_a_bucket_of_ours: false,
        },
        AlertOfOneKey {
            source: "aws.securityhub",
            event: read(include_str!("../../../events/security-hub-imported.json")),
            names_a_bucket_of_ours: true,
        },
        AlertOfOneKey { source: "direct", event: by_hand, names_a_bucket_of_ours: true },
    ]
}

/// All orders of four.
fn orders() -> Vec<[usize; 4]> {
    let all = 0..4 * 4 * 4 * 4;
    let digits = all.map(|number| [number / 64, number / 16 % 4, number / 4 % 4, number % 4]);
    digits.filter(|order| order.iter().collect::<BTreeSet<_>>().len() == 4).collect()
}

fn outcome(record: &Value) -> &str {
    record["status_code"].as_str().unwrap()
}
