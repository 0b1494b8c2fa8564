//! Trials with an outage of all of Lightsail for half a minute: Lambda's second try, one minute later, revokes the key.
//!
//! The trials run on the wall clock with production timeouts.
//!
//! Invariants: a try in the outage ends as an error with one record and a bounded number of requests. No request is
//! sent between two tries. The try after the outage ends as `revoked`.
//!
//! Each outage writes one line to standard error.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lightsail_simulator::{Fault, Operation, Script, SeenRequest, Settings as SimulatorSettings};
use responder_trials::{Lambda, Scene, Settings, report};
use serde_json::Value;

/// Duration of the outage.
const OUTAGE: Duration = Duration::from_secs(30);
/// Pause between Lambda's first two tries: "Lambda attempts to run it two more times, with a one-minute wait between
/// the first two attempts" (Lambda guide, "How Lambda handles errors and retries with asynchronous invocation").
const PAUSE: Duration = Duration::from_secs(60);
/// Timeout of the function, as in the template.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum attempts of one call in production.
const ATTEMPTS: usize = 5;
/// Number of Regions with Lightsail. A search reads each of them.
const REGIONS: usize = 19;

/// Alert, with the expected outcomes and the request limits of each try.
struct Case {
    name: &'static str,
    event: Value,
    /// Maximum requests in the outage: each call has all its attempts, and no call is made that an earlier failure has
    /// made pointless.
    max_requests_in_outage: usize,
    outcome_in_outage: &'static str,
    /// Maximum requests after the outage.
    max_requests_after: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_delays_revocation_until_second_try() {
    let outages = [
        ("throttled", Fault::Throttled),
        ("503 pages", Fault::HttpStatus { status: 503 }),
        ("ServiceException", Fault::ServiceException),
    ];
    let trials = outages.iter().flat_map(|(name, fault)| cases().map(|case| trial(name, fault, case)));
    let violations: Vec<String> = join_all(trials).await.concat();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

fn cases() -> [Case; 2] {
    [
        // In the outage: the delete, the concurrent read of keys, and the search. After it: the delete, the concurrent
        // read, the operation and the verification.
        Case {
            name: "bucket named",
            event: Scene::named(),
            max_requests_in_outage: (2 + REGIONS) * ATTEMPTS,
            outcome_in_outage: "failed",
            max_requests_after: 4,
        },
        // In the outage: the search. After it: the search with the keys of both buckets, the delete, the operation and
        // the verification.
        Case {
            name: "key only",
            event: Scene::key_only(),
            max_requests_in_outage: REGIONS * ATTEMPTS,
            outcome_in_outage: "search_incomplete",
            max_requests_after: REGIONS + 2 + 3,
        },
    ]
}

/// Runs one outage and returns all violations.
async fn trial(outage: &str, fault: &Fault, case: Case) -> Vec<String> {
    let context = format!("{outage}, {}", case.name);
    let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
    let simulator = &scene.simulator;
    for operation in Operation::ALL {
        simulator.script(Script::new(operation, fault.clone()).every()).unwrap();
    }
    let end_of_outage = async {
        tokio::time::sleep(OUTAGE).await;
        simulator.clear_scripts();
    };
    let delivered = async {
        let mut lambda = Lambda::start(Settings::new(&simulator.endpoint())).unwrap();
        let started = Instant::now();
        let first = lambda.invoke(&case.event, TIMEOUT).await.unwrap();
        let took = started.elapsed();
        let mut violations = scene.violations(&first);
        violations.extend(scene.false_denial(&first));
        if !scene.key_exists() {
            violations.push("the key is already gone".to_owned());
        }
        let in_outage = simulator.requests();
        tokio::time::sleep(PAUSE).await;
        let before_second_try = simulator.requests();
        let again = lambda.redeliver(&first, &case.event, TIMEOUT).await.unwrap();
        violations.extend(again.iter().flat_map(|answer| scene.violations(answer)));
        let after = &simulator.requests()[before_second_try.len()..];

        let answers = [vec![first], again].concat();
        let outcomes: Vec<_> = answers.iter().map(|answer| answer.records[0]["status_code"].clone()).collect();
        report(&format!(
            "{context:<30} {}: {} requests in {} ms, then {}: {} requests",
            outcomes[0],
            in_outage.len(),
            took.as_millis(),
            outcomes[1],
            after.len()
        ));
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                violations.push(format!("{problem}: {answers:#?}"));
            }
        };
        require(outcomes == [case.outcome_in_outage, "revoked"], "other outcomes");
        require(lambda.records().len() == 2 && lambda.processes() == 1, "not one record per try from one process");
        require(took < OUTAGE, "the try outlasted the outage");
        let hit = !in_outage.is_empty() && in_outage.iter().all(|seen| seen.fault.is_some());
        require(hit, "a request in the outage had no fault");
        require(
            after.iter().all(|seen| seen.fault.is_none() && seen.attempt == Some(1)),
            "a request after the outage had a fault or was retried",
        );
        require(in_outage.len() <= case.max_requests_in_outage, "too many requests in the outage");
        require(max_requests_of_one_call(&in_outage) == ATTEMPTS, "a call had too many or too few attempts");
        require(before_second_try.len() == in_outage.len(), "a request between the tries");
        require(after.len() <= case.max_requests_after, "too many requests after the outage");
        violations
    };
    let (violations, ()) = tokio::join!(delivered, end_of_outage);
    violations.into_iter().map(|violation| format!("{context}: {violation}")).collect()
}

/// Returns the maximum number of requests of the same call.
fn max_requests_of_one_call(seen: &[SeenRequest]) -> usize {
    let call = |seen: &SeenRequest| (seen.operation.clone(), seen.region.clone(), seen.bucket.clone());
    let count = |wanted: &SeenRequest| seen.iter().filter(|seen| call(seen) == call(wanted)).count();
    seen.iter().map(count).max().unwrap_or_default()
}
