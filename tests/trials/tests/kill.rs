//! `kill -9` at every step of the function's way, and then what Lambda does: the event comes again.
//!
//! A killed process cannot leave a record or an error. What makes up for it is the next delivery, and this shows that it
//! does: wherever the process was killed, the key is gone in the end, no other key was touched, and the last delivery's
//! record says so. Invariant: a run counts only if the process was killed at the step that it is about.
//!
//! One line a point goes to standard error.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::{DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation};
use lightsail_simulator::{Fault, Script, Seed, SeenRequest, Settings as SimulatorSettings, Simulator};
use responder_trials::{ACCOUNT, Answer, End, Kill, Lambda, Moment, SECRET_ACCESS_KEY, Settings, say, until};
use serde_json::{Value, json};

/// How often at each point.
const KILLS: usize = 50;
const SIDE_BY_SIDE: usize = 6;

/// The variable that repeats random delays: the seed of a whole point, or of the run that failed, which is then the first.
const SEED: &str = "KILL_SEED";

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
const STRANGER: &str = "AKIASTRANGERSEXAMPLE";
const PLACE: &str = "eu-central-1";
const TIME: Duration = Duration::from_secs(60);

/// How long a read is held up on which the process is to be killed. Nothing waits for it to pass before the kill.
const HELD_UP_MS: u64 = 1_000;

struct Point {
    name: &'static str,
    event: Value,
    scripts: Vec<Script>,
    kill: When,
    /// Whether the key must be deleted by then; none where that is chance.
    deleted: Option<bool>,
}

enum When {
    Moment(Moment),
    /// When the requests that arrived look so.
    Seen(fn(&[SeenRequest]) -> bool),
    /// When the requests that arrived look so, and the key is gone.
    Gone(fn(&[SeenRequest]) -> bool),
    /// After a delay of up to this long, and at the latest when the answer has been posted.
    Anywhen(Duration),
}

/// What came of one kill.
struct Run {
    deleted: bool,
    deliveries_after: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_asks_for_the_event() {
    trial(Point::named("before it asks for the event", When::Moment(Moment::BeforeNext)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_it_has_been_given_the_event() {
    trial(Point::named("event given", When::Moment(Moment::EventGiven))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_delete_has_arrived_and_is_not_done() {
    let point = Point::named("delete arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangBefore)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_delete_is_done_and_not_answered() {
    let point = Point::named("delete done", When::Gone(|seen| arrived(seen, "hang_after")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangAfter)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_half_the_answer_to_the_delete_has_been_sent() {
    let point = Point::named("delete half answered", When::Gone(|seen| arrived(seen, "never_ends")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::NeverEnds)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_operation_is_asked_for() {
    let point = Point::named("GetOperation arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(GetOperation, Fault::HangBefore)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_operation_has_ended_and_the_answer_does_not_say_so() {
    let point = Point::named("GetOperation done", When::Seen(|seen| arrived(seen, "hang_after")));
    trial(point.script(Script::new(GetOperation, Fault::HangAfter)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_keys_of_the_named_bucket_are_first_read() {
    // The proof, or evidence that is read beside the delete: so the key may be there or not.
    let point = Point::named("first read of keys arrived", When::Seen(|seen| count(seen, "GetBucketAccessKeys") > 0));
    trial(point.script(held_up())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_read_that_is_the_proof_has_arrived() {
    let point = Point::named("proving read arrived", When::Seen(|seen| proving_read(seen).is_some()));
    trial(point.script(held_up()).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_the_answer_to_the_read_that_is_the_proof_is_on_its_way() {
    let point = Point::named("proving read half answered", When::Seen(|seen| proving_read(seen) == Some(Some(200))));
    // The answer has some 200 bytes, so it takes a second. Twice: for a read beside the delete, too.
    let slow = Script::new(GetBucketAccessKeys, Fault::Slow { bytes_per_second: 200 }).times(2);
    trial(point.script(slow).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_its_response_has_been_posted_and_not_acknowledged() {
    trial(Point::named("response posted", When::Moment(Moment::AnswerPosted)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_its_response_has_been_acknowledged() {
    trial(Point::named("response acknowledged", When::Moment(Moment::AnswerAcknowledged)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_its_error_has_been_posted_and_not_acknowledged() {
    let point = Point::named("error posted", When::Moment(Moment::AnswerPosted));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::AccessDenied)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_when_its_error_has_been_acknowledged() {
    let point = Point::named("error acknowledged", When::Moment(Moment::AnswerAcknowledged));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::AccessDenied)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_search_when_the_buckets_of_the_region_are_asked_for() {
    let point = Point::searched("search: GetBuckets arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(GetBuckets, Fault::HangBefore).in_region(PLACE)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_search_when_the_keys_of_the_bucket_are_read() {
    let point = Point::searched("search: read of keys arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(GetBucketAccessKeys, Fault::HangBefore).in_region(PLACE)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_search_when_the_delete_has_arrived_and_is_not_done() {
    let point = Point::searched("search: delete arrived", When::Seen(|seen| arrived(seen, "hang_before")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangBefore)).deleted(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_search_when_the_delete_is_done_and_not_answered() {
    let point = Point::searched("search: delete done", When::Gone(|seen| arrived(seen, "hang_after")));
    trial(point.script(Script::new(DeleteBucketAccessKey, Fault::HangAfter)).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_search_when_the_read_that_is_the_proof_has_arrived() {
    let point = Point::searched("search: proving read arrived", When::Seen(|seen| proving_read(seen).is_some()));
    // The first read is the one that finds the key.
    trial(point.script(held_up()).deleted(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_a_random_delay() {
    let point = Point::named("random delay", When::Anywhen(time_of_a_run(&named()).await));
    trial(point).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_search_after_a_random_delay() {
    let point = Point::searched("search: random delay", When::Anywhen(time_of_a_run(&key_only()).await));
    trial(point).await;
}

/// Kills at `point`, as often as is asked for, and says in one line what came of it.
async fn trial(point: Point) {
    let started = Instant::now();
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    let runs = stream::iter(0..KILLS).map(|number| run(&point, seed ^ number as u64));
    let runs: Vec<Run> = runs.buffer_unordered(SIDE_BY_SIDE).collect().await;
    let deleted = runs.iter().filter(|run| run.deleted).count();
    let again: usize = runs.iter().map(|run| run.deliveries_after).sum();
    let random = if matches!(point.kill, When::Anywhen(_)) { format!(", seed {seed}") } else { String::new() };
    say(&format!(
        "{:<32} {} kills, {deleted} with the delete done, {again} deliveries after, {:.1} s{random}",
        point.name,
        runs.len(),
        started.elapsed().as_secs_f64()
    ));
    assert_eq!(runs.len(), KILLS);
}

/// One kill, and the deliveries after it.
async fn run(point: &Point, seed: u64) -> Run {
    let context = format!("{}, seed {seed}", point.name);
    let simulator = world().await;
    for script in &point.scripts {
        simulator.script(script.clone()).unwrap();
    }
    let mut lambda = Lambda::start(Settings::new(&simulator.endpoint())).unwrap();

    let killed = lambda.invoke_and_kill(&point.event, TIME, point.kill(&simulator, seed)).await.unwrap();
    assert_eq!(killed.end, End::Killed, "{context}: the process was not killed at its point: {killed:?}");
    assert_eq!(lambda.process_id(), None, "{context}");
    let deleted = !keys(&simulator, PLACE, "photos").contains(&KEY.to_owned());
    assert_eq!(deleted, point.deleted.unwrap_or(deleted), "{context}: whether the delete was done when it was killed");

    let mut after = lambda.redeliver(&killed, &point.event, TIME).await.unwrap();
    if after.is_empty() {
        // It was acknowledged as a success. Lambda promises to deliver at least once, and so perhaps once more.
        after.push(lambda.invoke(&point.event, TIME).await.unwrap());
    }
    let answered = matches!(point.kill, When::Moment(Moment::AnswerPosted | Moment::AnswerAcknowledged));
    judge(&context, &simulator, &lambda, (&killed, answered), &after);
    Run { deleted, deliveries_after: after.len() }
}

/// What must hold in the end, wherever the process was killed.
fn judge(context: &str, simulator: &Simulator, lambda: &Lambda, (killed, answered): (&Answer, bool), after: &[Answer]) {
    assert_eq!(keys(simulator, PLACE, "photos"), [SIBLING], "{context}: the key is gone, and its sibling is not");
    assert_eq!(keys(simulator, "us-west-2", "invoices"), [STRANGER], "{context}: a stranger's key is untouched");
    let requests = simulator.requests();
    let deletes = requests.iter().filter(|seen| seen.operation == DeleteBucketAccessKey);
    let named: Vec<_> = deletes.map(|seen| seen.access_key_id.as_deref()).collect();
    assert!(!named.is_empty() && named.iter().all(|key| *key == Some(KEY)), "{context}: deletes of {named:?}");

    // The record is there before the answer is: once that is acknowledged, Lambda does not deliver again.
    let least = usize::from(answered);
    assert!((least..=1).contains(&killed.records.len()), "{context}: {:#?}", killed.records);
    for answer in after {
        assert_eq!(answer.end, End::Answered, "{context}: {answer:?}\n{:#?}", lambda.lines());
        assert_eq!(answer.records.len(), 1, "{context}: one record a delivery: {answer:#?}");
        let record = &answer.records[0];
        assert_eq!(record["unmapped"]["invocation"]["request_id"], answer.request_id, "{context}");
        assert_eq!(record["unmapped"]["access_key"]["id"], KEY, "{context}");
    }
    let last = after.last().unwrap();
    let outcome = last.records[0]["status_code"].as_str().unwrap();
    let good = ["revoked", "already_absent", "not_lightsail_key"].contains(&outcome);
    assert!(good && last.response.is_ok(), "{context}: the last delivery ended as {outcome}");
    let logged = killed.records.len() + after.len();
    assert_eq!(lambda.records().len(), logged, "{context}: no record but those of the deliveries");
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
                seen(&simulator.requests()) && !keys(simulator, PLACE, "photos").contains(&KEY.to_owned())
            })),
            When::Anywhen(most) => {
                let part = mixed(seed) as f64 / u64::MAX as f64;
                Kill::when(tokio::time::sleep(most.mul_f64(part))).or_at(Moment::AnswerPosted)
            }
        }
    }
}

/// The key with its sibling on a bucket, and a stranger's key on another.
async fn world() -> Simulator {
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.seed(Seed::bucket(PLACE, "photos").key(KEY).key(SIBLING)).unwrap();
    simulator.seed(Seed::bucket("us-west-2", "invoices").key(STRANGER)).unwrap();
    simulator
}

fn named() -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": PLACE})
}

fn key_only() -> Value {
    json!({"accessKeyId": KEY})
}

/// Reads of keys in the Region, held up for longer than the kill needs. Not for ever: a read that is not the one in
/// question must not use up the time of all. Twice: once for such a read.
fn held_up() -> Script {
    Script::new(GetBucketAccessKeys, Fault::Latency { ms: HELD_UP_MS }).in_region(PLACE).times(2)
}

/// Whether a request arrived that has this fault, which is of the one that matters only.
fn arrived(seen: &[SeenRequest], fault: &str) -> bool {
    seen.iter().any(|request| request.fault.as_deref() == Some(fault))
}

fn count(seen: &[SeenRequest], operation: &str) -> usize {
    seen.iter().filter(|request| request.operation == operation).count()
}

/// The status of the read of keys that came after the answer to `GetOperation`: other reads do not wait for that.
fn proving_read(seen: &[SeenRequest]) -> Option<Option<u16>> {
    let followed = seen.iter().position(|request| request.operation == GetOperation && request.status == Some(200))?;
    let mut later = seen.iter().skip(followed);
    later.find(|request| request.operation == GetBucketAccessKeys).map(|request| request.status)
}

fn keys(simulator: &Simulator, region: &str, bucket: &str) -> Vec<String> {
    simulator.keys(ACCOUNT, region, bucket).unwrap()
}

/// How long a first invocation takes, about, with the start of the process.
async fn time_of_a_run(event: &Value) -> Duration {
    let simulator = world().await;
    let mut lambda = Lambda::start(Settings::new(&simulator.endpoint())).unwrap();
    let started = Instant::now();
    let answer = lambda.invoke(event, TIME).await.unwrap();
    assert_eq!(answer.response.unwrap()["records"][0]["status_code"], "revoked");
    // Side by side on a few cores, it takes longer.
    started.elapsed() * SIDE_BY_SIDE as u32 / 2
}

/// A number that looks random, of one that does not (the finalizer of SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
