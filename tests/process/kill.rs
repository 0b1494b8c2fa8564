//! Trials with `kill -9` at each step of the function, followed by Lambda's next delivery of the same event.
//!
//! A killed process cannot leave a record or an error. The next delivery compensates for this. At any kill point, the
//! key is gone in the end, no other key is deleted, and the record of the last delivery confirms it.
//!
//! Invariant: a run counts only if the process was killed at its step.
//!
//! Each kill point writes one line to standard error.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::{DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation};
use lightsail_simulator::{Fault, Script, Seed, SeenRequest, Settings as SimulatorSettings, Simulator};
use responder_harness::{ACCOUNT, Answer, End, Kill, Lambda, Moment, SECRET_ACCESS_KEY, Settings, report, until};
use serde_json::{Value, json};

/// Number of kills at a point that fixes the state of the key. More of them would repeat the same state.
const KILLS: usize = 3;
/// Number of kills at a point at which chance decides the state of the key.
const KILLS_BY_CHANCE: usize = 20;
/// Concurrency limit of the runs.
const CONCURRENT_RUNS: usize = 6;

/// Environment variable that repeats random delays. Its value is the seed of a whole point, or of one failed run, which
/// then becomes the first run.
const SEED: &str = "KILL_SEED";

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
const UNRELATED_KEY: &str = "AKIAUNRELATEDEXAMPLE";
const KEY_REGION: &str = "eu-central-1";
const TIMEOUT: Duration = Duration::from_secs(60);

/// Delay of the read at which the process is killed. The kill does not wait for the end of the delay.
const READ_DELAY_MS: u64 = 1_000;

struct Point {
    name: &'static str,
    event: Value,
    scripts: Vec<Script>,
    kill: When,
    /// State of the key at the kill: deleted or not. `None` if it depends on chance.
    deleted: Option<bool>,
}

/// Time of the kill.
enum When {
    /// Kill at a moment of the protocol.
    Moment(Moment),
    /// Kill as soon as the arrived requests meet the condition.
    Seen(fn(&[SeenRequest]) -> bool),
    /// Kill as soon as the arrived requests meet the condition and the key is gone.
    Gone(fn(&[SeenRequest]) -> bool),
    /// Kill after a random delay up to this limit, at the latest when the answer has been posted.
    RandomDelay(Duration),
}

/// Result of one kill.
struct Run {
    deleted: bool,
    deliveries_after: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_requests_event() {
    trial(Point::named("before it asks for the event", When::Moment(Moment::BeforeNext)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_event_delivery() {
    trial(Point::named("event given", When::Moment(Moment::EventGiven))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_delete_takes_effect() {
    let point = Point::named("delete arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangBefore)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_delete_without_response() {
    let point = Point::named("delete done", When::Gone(|seen| arrived(seen, "hang_after")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangAfter)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_half_delete_response() {
    let point = Point::named("delete half answered", When::Gone(|seen| arrived(seen, "never_ends")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::NeverEnds)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_get_operation_arrives() {
    let point = Point::named("GetOperation arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(GetOperation, Fault::HangBefore)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_operation_without_response() {
    let point = Point::named("GetOperation done", When::Seen(|seen| arrived(seen, "hang_after")));
    trial(point.script(Script::new(GetOperation, Fault::HangAfter)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_first_read_of_keys_arrives() {
    // This read is either the verification or the concurrent evidence, so the key may still exist or not.
    let point = Point::named("first read of keys arrived", When::Seen(|seen| count(seen, "GetBucketAccessKeys") > 0));
    trial(point.script(delayed_read())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_verification_read_arrives() {
    let point = Point::named("verification read arrived", When::Seen(|seen| verification_read(seen).is_some()));
    trial(point.script(delayed_read()).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_half_verification_response() {
    let point =
        Point::named("verification half answered", When::Seen(|seen| verification_read(seen) == Some(Some(200))));
    // The response has about 200 bytes, so it takes one second. The fault applies twice, because the concurrent
    // evidence read may use it first.
    let slow = Script::new(GetBucketAccessKeys, Fault::Slow { bytes_per_second: 200 }).times(2);
    trial(point.script(slow).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_unacknowledged_response() {
    trial(Point::named("response posted", When::Moment(Moment::AnswerPosted)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_acknowledged_response() {
    trial(Point::named("response acknowledged", When::Moment(Moment::AnswerAcknowledged)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_unacknowledged_error() {
    let point = Point::named("error posted", When::Moment(Moment::AnswerPosted));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::AccessDenied)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_acknowledged_error() {
    let point = Point::named("error acknowledged", When::Moment(Moment::AnswerAcknowledged));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::AccessDenied)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_search_when_get_buckets_arrives() {
    let point = Point::searched("search: GetBuckets arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(GetBuckets, Fault::HangBefore).in_region(KEY_REGION)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_search_when_read_of_keys_arrives() {
    let point = Point::searched("search: read of keys arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(GetBucketAccessKeys, Fault::HangBefore).in_region(KEY_REGION)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_search_before_delete_takes_effect() {
    let point = Point::searched("search: delete arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangBefore)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_search_after_delete_without_response() {
    let point = Point::searched("search: delete done", When::Gone(|seen| arrived(seen, "hang_after")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangAfter)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_search_when_verification_read_arrives() {
    let point = Point::searched("search: verification arrived", When::Seen(|seen| verification_read(seen).is_some()));
    // The first read belongs to the search that finds the key.
    trial(point.script(delayed_read()).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_random_delay() {
    let point = Point::named("random delay", When::RandomDelay(duration_of_run(&named()).await));
    trial(point).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_search_after_random_delay() {
    let point = Point::searched("search: random delay", When::RandomDelay(duration_of_run(&key_only()).await));
    trial(point).await;
}

/// Kills several times at `point` and reports the result in one line.
async fn trial(point: Point) {
    let started = Instant::now();
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    let kills = if point.deleted.is_some() { KILLS } else { KILLS_BY_CHANCE };
    let runs = stream::iter(0..kills).map(|number| run(&point, seed ^ number as u64));
    let runs: Vec<Run> = runs.buffer_unordered(CONCURRENT_RUNS).collect().await;
    let deleted = runs.iter().filter(|run| run.deleted).count();
    let deliveries: usize = runs.iter().map(|run| run.deliveries_after).sum();
    let random = if matches!(point.kill, When::RandomDelay(_)) { format!(", seed {seed}") } else { String::new() };
    report(&format!(
        "{:<32} {} kills, {deleted} with the delete done, {deliveries} deliveries after, {:.1} s{random}",
        point.name,
        runs.len(),
        started.elapsed().as_secs_f64()
    ));
    assert_eq!(runs.len(), kills);
}

/// Runs one kill and the deliveries after it.
async fn run(point: &Point, seed: u64) -> Run {
    let context = format!("{}, seed {seed}", point.name);
    let simulator = scene().await;
    for script in &point.scripts {
        simulator.script(script.clone()).unwrap();
    }
    let mut lambda = Lambda::start(Settings::new(&simulator.endpoint())).unwrap();

    let killed = lambda.invoke_and_kill(&point.event, TIMEOUT, point.kill(&simulator, seed)).await.unwrap();
    assert_eq!(killed.end, End::Killed, "{context}: the process was not killed at its point: {killed:?}");
    assert_eq!(lambda.process_id(), None, "{context}");
    let deleted = !keys(&simulator, KEY_REGION, "photos").contains(&KEY.to_owned());
    assert_eq!(deleted, point.deleted.unwrap_or(deleted), "{context}: state of the key at the kill");

    let mut after = lambda.redeliver(&killed, &point.event, TIMEOUT).await.unwrap();
    if after.is_empty() {
        // The delivery was acknowledged as a success. Lambda delivers at least once, so it may deliver once more.
        after.push(lambda.invoke(&point.event, TIMEOUT).await.unwrap());
    }
    let answered = matches!(point.kill, When::Moment(Moment::AnswerPosted | Moment::AnswerAcknowledged));
    assert_invariants(&context, &simulator, &lambda, (&killed, answered), &after);
    Run { deleted, deliveries_after: after.len() }
}

/// Asserts the invariants after the last delivery.
fn assert_invariants(
    context: &str,
    simulator: &Simulator,
    lambda: &Lambda,
    (killed, answered): (&Answer, bool),
    after: &[Answer],
) {
    assert_eq!(keys(simulator, KEY_REGION, "photos"), [SIBLING], "{context}: only the sibling remains");
    assert_eq!(keys(simulator, "us-west-2", "invoices"), [UNRELATED_KEY], "{context}: the unrelated key remains");
    let requests = simulator.requests();
    let deletes = requests.iter().filter(|seen| seen.operation == DeleteBucketAccessKey);
    let named: Vec<_> = deletes.map(|seen| seen.access_key_id.as_deref()).collect();
    assert!(!named.is_empty() && named.iter().all(|key| *key == Some(KEY)), "{context}: deletes of {named:?}");

    // The record must be written before the answer, because Lambda does not deliver again after it acknowledged the
    // answer.
    let min_records = usize::from(answered);
    assert!((min_records..=1).contains(&killed.records.len()), "{context}: {:#?}", killed.records);
    for answer in after {
        assert_eq!(answer.end, End::Answered, "{context}: {answer:?}\n{:#?}", lambda.lines());
        assert_eq!(answer.records.len(), 1, "{context}: one record per delivery: {answer:#?}");
        let record = &answer.records[0];
        assert_eq!(record["unmapped"]["invocation"]["request_id"], answer.request_id, "{context}");
        assert_eq!(record["unmapped"]["access_key"]["id"], KEY, "{context}");
    }
    let last = after.last().unwrap();
    let outcome = last.records[0]["status_code"].as_str().unwrap();
    let good = ["revoked", "already_absent", "not_lightsail_key"].contains(&outcome);
    assert!(good && last.response.is_ok(), "{context}: the last delivery ended as {outcome}");
    let logged = killed.records.len() + after.len();
    assert_eq!(lambda.records().len(), logged, "{context}: no records except those of the deliveries");
}

impl Point {
    fn named(name: &'static str, kill: When) -> Self {
        Self { name, event: named(), scripts: Vec::new(), kill, deleted: None }
    }

    fn searched(name: &'static str, kill: When) -> Self {
        Self { event: key_only(), ..Self::named(name, kill) }
    }

    fn script(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    fn deleted(self, deleted: bool) -> Self {
        Self { deleted: Some(deleted), ..self }
    }

    fn kill<'a>(&'a self, simulator: &'a Simulator, seed: u64) -> Kill<'a> {
        match self.kill {
            When::Moment(moment) => Kill::at(moment),
            When::Seen(seen) => Kill::when(until(move || seen(&simulator.requests()))),
            When::Gone(seen) => Kill::when(until(move || {
                seen(&simulator.requests()) && !keys(simulator, KEY_REGION, "photos").contains(&KEY.to_owned())
            })),
            When::RandomDelay(limit) => {
                let fraction = mixed(seed) as f64 / u64::MAX as f64;
                Kill::when(tokio::time::sleep(limit.mul_f64(fraction))).or_at(Moment::AnswerPosted)
            }
        }
    }
}

/// Starts a simulator with the key and its sibling on one bucket and an unrelated key on another bucket.
async fn scene() -> Simulator {
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.seed(Seed::bucket(KEY_REGION, "photos").key(KEY).key(SIBLING)).unwrap();
    simulator.seed(Seed::bucket("us-west-2", "invoices").key(UNRELATED_KEY)).unwrap();
    simulator
}

fn named() -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": KEY_REGION})
}

fn key_only() -> Value {
    json!({"accessKeyId": KEY})
}

/// Delays two reads of keys in the Region for longer than the kill needs. The delay is finite, because another read may
/// meet it and must not use up the whole time. It applies twice because of that other read.
fn delayed_read() -> Script {
    Script::new(GetBucketAccessKeys, Fault::Latency { ms: READ_DELAY_MS }).in_region(KEY_REGION).times(2)
}

/// Returns true if a request with this fault arrived. Only the relevant request has the fault.
fn arrived(seen: &[SeenRequest], fault: &str) -> bool {
    seen.iter().any(|request| request.fault.as_deref() == Some(fault))
}

fn count(seen: &[SeenRequest], operation: &str) -> usize {
    seen.iter().filter(|request| request.operation == operation).count()
}

/// Returns the status of the verification read, which is the first read of keys after the response to `GetOperation`.
/// Other reads do not wait for that response.
fn verification_read(seen: &[SeenRequest]) -> Option<Option<u16>> {
    let followed = seen.iter().position(|request| request.operation == GetOperation && request.status == Some(200))?;
    let mut later = seen.iter().skip(followed);
    later.find(|request| request.operation == GetBucketAccessKeys).map(|request| request.status)
}

fn keys(simulator: &Simulator, region: &str, bucket: &str) -> Vec<String> {
    simulator.keys(ACCOUNT, region, bucket).unwrap()
}

/// Measures roughly how long a first invocation takes, with the start of the process.
async fn duration_of_run(event: &Value) -> Duration {
    let simulator = scene().await;
    let mut lambda = Lambda::start(Settings::new(&simulator.endpoint())).unwrap();
    let started = Instant::now();
    let answer = lambda.invoke(event, TIMEOUT).await.unwrap();
    assert_eq!(answer.response.unwrap()["records"][0]["status_code"], "revoked");
    // Concurrent runs on a few cores take longer.
    started.elapsed() * CONCURRENT_RUNS as u32 / 2
}

/// Hashes a seed into a number that looks random (the finalizer of SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
