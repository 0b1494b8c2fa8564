//! All of Lightsail fails for half a minute, and Lambda tries again a minute after the first try: then the key is gone.
//!
//! The times are real ones, and the pace that of production. Invariants: a try in the storm ends as an error, with a record
//! and a bounded number of requests; nothing is sent between two tries; the one after the storm ends as `revoked`.
//!
//! One line a storm goes to standard error.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lightsail_simulator::{Fault, Operation, Script, SeenRequest, Settings as SimulatorSettings};
use responder_trials::{Lambda, Scene, Settings, say};
use serde_json::Value;

const STORM: Duration = Duration::from_secs(30);
/// "Lambda attempts to run it two more times, with a one-minute wait between the first two attempts" (Lambda guide, "How
/// Lambda handles errors and retries with asynchronous invocation").
const PAUSE: Duration = Duration::from_secs(60);
/// As the template has it.
const TIME: Duration = Duration::from_secs(60);

/// Attempts of one call in production.
const ATTEMPTS: usize = 5;
/// That Lightsail has, each searched.
const REGIONS: usize = 19;

/// How the alert comes, and what a try of it may need.
struct Way {
    name: &'static str,
    event: Value,
    /// In the storm: every call with all its attempts, and no call that one before it has made pointless.
    most_in_the_storm: usize,
    outcome_in_the_storm: &'static str,
    /// After it.
    most_after: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_half_a_minute_delays_a_revocation_until_lambdas_second_try() {
    let storms = [
        ("throttled", Fault::Throttled),
        ("503 pages", Fault::HttpStatus { status: 503 }),
        ("ServiceException", Fault::ServiceException),
    ];
    let trials = storms.iter().flat_map(|(name, fault)| ways().map(|way| trial(name, fault, way)));
    let wrong: Vec<String> = join_all(trials).await.concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn ways() -> [Way; 2] {
    [
        // The delete, the read of the keys beside it, and the search; then these two, the operation and the proof.
        Way {
            name: "bucket named",
            event: Scene::named(),
            most_in_the_storm: (2 + REGIONS) * ATTEMPTS,
            outcome_in_the_storm: "failed",
            most_after: 4,
        },
        // The search; then that with the keys of both buckets, the delete, the operation and the proof.
        Way {
            name: "key alone",
            event: Scene::key_alone(),
            most_in_the_storm: REGIONS * ATTEMPTS,
            outcome_in_the_storm: "search_incomplete",
            most_after: REGIONS + 2 + 3,
        },
    ]
}

/// All that went wrong in one storm.
async fn trial(storm: &str, fault: &Fault, way: Way) -> Vec<String> {
    let context = format!("{storm}, {}", way.name);
    let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
    let simulator = &scene.simulator;
    for operation in Operation::ALL {
        simulator.script(Script::new(operation, fault.clone()).every()).unwrap();
    }
    let calms = async {
        tokio::time::sleep(STORM).await;
        simulator.clear_scripts();
    };
    let delivered = async {
        let mut lambda = Lambda::start(Settings::new(&simulator.endpoint())).unwrap();
        let started = Instant::now();
        let first = lambda.invoke(&way.event, TIME).await.unwrap();
        let took = started.elapsed();
        let mut wrong = scene.wrong(&first);
        wrong.extend(scene.denied(&first));
        if !scene.key_is_there() {
            wrong.push("the key is gone already".to_owned());
        }
        let in_the_storm = simulator.requests();
        tokio::time::sleep(PAUSE).await;
        let before_the_second = simulator.requests();
        let again = lambda.redeliver(&first, &way.event, TIME).await.unwrap();
        wrong.extend(again.iter().flat_map(|answer| scene.wrong(answer)));
        let after = &simulator.requests()[before_the_second.len()..];

        let answers = [vec![first], again].concat();
        let outcomes: Vec<_> = answers.iter().map(|answer| answer.records[0]["status_code"].clone()).collect();
        say(&format!(
            "{context:<30} {}: {} requests in {} ms, then {}: {} requests",
            outcomes[0],
            in_the_storm.len(),
            took.as_millis(),
            outcomes[1],
            after.len()
        ));
        let mut unless = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}: {answers:#?}"));
            }
        };
        unless(outcomes == [way.outcome_in_the_storm, "revoked"], "other outcomes");
        unless(lambda.records().len() == 2 && lambda.processes() == 1, "not one record a try, by one process");
        unless(took < STORM, "the try outlasted the storm");
        let struck = !in_the_storm.is_empty() && in_the_storm.iter().all(|seen| seen.fault.is_some());
        unless(struck, "a request in the storm did not meet it");
        unless(after.iter().all(|seen| seen.fault.is_none() && seen.attempt == Some(1)), "the storm was not over");
        unless(in_the_storm.len() <= way.most_in_the_storm, "too many requests in the storm");
        unless(most_of_one_call(&in_the_storm) == ATTEMPTS, "a call was made in vain, or given up early");
        unless(before_the_second.len() == in_the_storm.len(), "a request between the tries");
        unless(after.len() <= way.most_after, "too many requests after the storm");
        wrong
    };
    let (wrong, ()) = tokio::join!(delivered, calms);
    wrong.into_iter().map(|what| format!("{context}: {what}")).collect()
}

/// How many requests of the same call there are at most.
fn most_of_one_call(seen: &[SeenRequest]) -> usize {
    let call = |seen: &SeenRequest| (seen.operation.clone(), seen.region.clone(), seen.bucket.clone());
    let of = |wanted: &SeenRequest| seen.iter().filter(|seen| call(seen) == call(wanted)).count();
    seen.iter().map(of).max().unwrap_or_default()
}
