//! Ten thousand invocations of one process: it neither grows nor keeps what it opened, and every one leaves its record.
//!
//! Lambda keeps a process for hours. What leaks a little with every alert ends a function in the middle of a revocation, by
//! memory or by descriptors. The process runs beside the simulator and not with it, so what is measured is its own.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lightsail_simulator::{Seed, Settings as SimulatorSettings, Simulator};
use responder_trials::{Lambda, SECRET_ACCESS_KEY, Settings, say};
use serde_json::{Value, json};

const WARM_UP: usize = 1_000;
const INVOCATIONS: usize = 10_000;

/// After the warm-up a process may grow by this much, for what its allocator keeps.
const MOST_GROWTH_KB: i64 = 1_024;

/// A search asks 19 Regions side by side. How many connections it needs for that, and leaves idle in the pool for a minute
/// and a half, depends on how fast the answers come. The number is about one search; a leak would be of one in each.
const MORE_IDLE_CONNECTIONS: usize = 19;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
const TIME: Duration = Duration::from_secs(60);

/// What a process holds.
#[derive(Debug)]
struct Held {
    resident_kb: i64,
    sockets: usize,
    other_descriptors: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_warm_invocations_leave_the_process_as_it_was_and_a_record_each() {
    let started = Instant::now();
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    // Only the records, and what is wrong. One Region less or more makes no difference here but time.
    let settings = Settings::new(&simulator.endpoint())
        .variable("AWS_LAMBDA_LOG_LEVEL", "WARN")
        .variable("SEARCH_REGIONS", "us-east-1,eu-central-1");
    let mut lambda = Lambda::start(settings).unwrap();

    let mix = mix();
    let mut after_warm_up = None;
    for number in 0..WARM_UP + INVOCATIONS {
        if number == WARM_UP {
            after_warm_up = Some(Held::by(lambda.process_id().unwrap()));
        }
        let (event, outcome) = &mix[number % mix.len()];
        if number % mix.len() == 0 {
            // Its list of requests would grow for ever.
            simulator.reset();
        }
        if *outcome == "revoked" {
            simulator.seed(Seed::bucket("eu-central-1", "photos").key(KEY).key(SIBLING)).unwrap();
        }
        let answer = lambda.invoke(event, TIME).await.unwrap();
        let outcomes: Vec<_> = answer.records.iter().map(|record| record["status_code"].as_str().unwrap()).collect();
        assert_eq!(outcomes, [*outcome], "invocation {number}: {answer:#?}");
    }
    let (before, after) = (after_warm_up.unwrap(), Held::by(lambda.process_id().unwrap()));
    say(&format!("{INVOCATIONS} warm invocations: {before:?} -> {after:?}, {:.1} s", started.elapsed().as_secs_f64()));

    assert_eq!(lambda.processes(), 1, "all by one process");
    assert_eq!(lambda.records().len(), WARM_UP + INVOCATIONS, "one record an invocation");
    assert!(after.resident_kb - before.resident_kb < MOST_GROWTH_KB, "memory: {before:?} -> {after:?}");
    assert!(after.other_descriptors <= before.other_descriptors, "descriptors: {before:?} -> {after:?}");
    assert!(after.sockets <= before.sockets + MORE_IDLE_CONNECTIONS, "connections: {before:?} -> {after:?}");
}

impl Held {
    /// What the kernel says of it (proc(5)).
    fn by(process: u32) -> Self {
        let process = Path::new("/proc").join(process.to_string());
        let status = fs::read_to_string(process.join("status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident_kb = resident.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        let descriptors = fs::read_dir(process.join("fd")).unwrap();
        let targets = descriptors.map(|entry| fs::read_link(entry.unwrap().path()).unwrap());
        let (sockets, others): (Vec<_>, Vec<_>) =
            targets.partition(|target| target.to_string_lossy().starts_with("socket:"));
        Self { resident_kb, sockets: sockets.len(), other_descriptors: others.len() }
    }
}

/// Fifty events, in this order again and again, and the outcome of each. Where it is `revoked`, the key must be there. A key
/// that is absent or named alone has every Region searched, which takes as long as ten others: so there are few of them.
fn mix() -> Vec<(Value, &'static str)> {
    let named = || (json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-central-1"}), "revoked");
    let again = || (named().0, "already_absent");
    let alone = || (json!({"accessKeyId": KEY}), "revoked");
    let malformed = || (json!({"accessKeyId": "not a key"}), "unreadable");
    let ignored = || (json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}), "ignored");
    let few = [named(), again(), alone()];
    let many = (0..16).flat_map(|_| [named(), malformed(), ignored()]).take(47);
    few.into_iter().chain(many).collect()
}
