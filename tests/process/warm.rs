//! Trial with two thousand invocations of one process: it leaks no memory and no descriptors, and each invocation
//! leaves a record.
//!
//! Lambda keeps a process for hours. A small leak per alert exhausts memory or descriptors and ends the function in the
//! middle of a revocation. The function and the simulator are separate processes, so the trial measures only the
//! function.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lightsail_simulator::{Seed, Settings as SimulatorSettings, Simulator};
use responder_harness::{Lambda, SECRET_ACCESS_KEY, Settings, report};
use serde_json::{Value, json};

const WARM_UP: usize = 500;
const INVOCATIONS: usize = 2_000;

/// Maximum growth of a process after the warm-up, for memory that its allocator keeps. A leak below it, half a kilobyte
/// per invocation, would exhaust the 128 MB of the function after two hundred thousand invocations.
const MAX_GROWTH_KB: i64 = 1_024;

/// Maximum number of additional idle connections. A search fans out to 19 Regions. The number of connections that it
/// opens depends on the speed of the responses, and the pool keeps them idle for five seconds. The limit covers
/// one search. A leak would add connections with each search.
const MAX_MORE_CONNECTIONS: usize = 19;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
const TIMEOUT: Duration = Duration::from_secs(60);

/// Resources that a process holds.
#[derive(Debug)]
struct Held {
    resident_kb: i64,
    sockets: usize,
    other_descriptors: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warm_invocations_leak_nothing() {
    let started = Instant::now();
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    // The log has only records and errors. Fewer Regions change nothing here except the time.
    let settings = Settings::new(&simulator.endpoint())
        .variable("AWS_LAMBDA_LOG_LEVEL", "WARN")
        .variable("SEARCH_REGIONS", "us-east-1,eu-central-1");
    let mut lambda = Lambda::start(settings).unwrap();

    let mix = mix();
    let mut after_warm_up = None;
    for number in 0..WARM_UP + INVOCATIONS {
        if number == WARM_UP {
            after_warm_up = Some(Held::of(lambda.process_id().unwrap()));
        }
        let (event, outcome) = &mix[number % mix.len()];
        if number % mix.len() == 0 {
            // Without a reset, the simulator's list of requests would grow forever.
            simulator.reset();
        }
        if *outcome == "revoked" {
            simulator.seed(Seed::bucket("eu-central-1", "photos").key(KEY).key(SIBLING)).unwrap();
        }
        let answer = lambda.invoke(event, TIMEOUT).await.unwrap();
        let outcomes: Vec<_> = answer.records.iter().map(|record| record["status_code"].as_str().unwrap()).collect();
        assert_eq!(outcomes, [*outcome], "invocation {number}: {answer:#?}");
    }
    let (before, after) = (after_warm_up.unwrap(), Held::of(lambda.process_id().unwrap()));
    report(&format!(
        "{INVOCATIONS} warm invocations: {before:?} -> {after:?}, {:.1} s",
        started.elapsed().as_secs_f64()
    ));

    assert_eq!(lambda.processes(), 1, "one process serves all invocations");
    assert_eq!(lambda.records().len(), WARM_UP + INVOCATIONS, "one record per invocation");
    assert!(after.resident_kb - before.resident_kb < MAX_GROWTH_KB, "memory: {before:?} -> {after:?}");
    assert!(after.other_descriptors <= before.other_descriptors, "descriptors: {before:?} -> {after:?}");
    assert!(after.sockets <= before.sockets + MAX_MORE_CONNECTIONS, "connections: {before:?} -> {after:?}");
}

impl Held {
    /// Reads the resources of a process from the kernel (proc(5)).
    fn of(process: u32) -> Self {
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

/// Returns fifty events with the outcome of each, for repetition in this order. `revoked` requires that the key exists.
/// An absent key, or a key without a bucket, needs a search of all Regions. A search takes as long as ten other events,
/// so there are few of them.
fn mix() -> Vec<(Value, &'static str)> {
    let named = || (json!({"accessKeyId": KEY, "bucketName": "photos", "region": "eu-central-1"}), "revoked");
    let repeated = || (named().0, "already_absent");
    let key_only = || (json!({"accessKeyId": KEY}), "revoked");
    let malformed = || (json!({"accessKeyId": "not a key"}), "unreadable");
    let ignored = || (json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}), "ignored");
    let few = [named(), repeated(), key_only()];
    let many = (0..16).flat_map(|_| [named(), malformed(), ignored()]).take(47);
    few.into_iter().chain(many).collect()
}
