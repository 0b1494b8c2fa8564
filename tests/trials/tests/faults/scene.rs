//! Test setup: an account with one compromised key and two other keys, a function with short timeouts, and the result
//! of one delivery.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lightsail_key_responder::audit::Audit;
use lightsail_key_responder::config::Config;
use lightsail_key_responder::deadline::Timeouts;
use lightsail_key_responder::respond::Responder;
use lightsail_simulator::{Role, Script, Seed, SeenRequest, Settings, Simulator};
use responder_trials::{ACCOUNT, REGION, SECRET_ACCESS_KEY};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const BUCKET: &str = "photos";
/// Keys that no alert names: one on the same bucket, and one on another bucket.
const OTHERS: [(&str, &str); 2] = [(BUCKET, "AKIAI44QH8DHBEXAMPLE"), ("backups", "AKIAQQQQQQQQQQQQQQQQ")];
const MEMBER: &str = "111122223333";
const ROLE: &str = "lightsail-key-responder";

/// Route by which the function finds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Route {
    /// Alert that names the bucket.
    Named,
    /// Alert that names another existing bucket.
    NamedWrong,
    /// Alert that names only the key.
    Searched,
    /// Alert that names the bucket and a member account.
    Member,
}

pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    route: Route,
    responder: Responder,
    log: Log,
}

/// Result of one delivery, and the true state afterwards.
pub(crate) struct Delivery {
    pub(crate) route: Route,
    /// True for the first delivery.
    pub(crate) is_first: bool,
    /// True if lists are stale: they still have the key after a delete in an earlier delivery.
    pub(crate) lingers: bool,
    /// `errorType` that Lambda gets, or `None` for success.
    pub(crate) error_type: Option<&'static str>,
    /// Records in the response, or the message of the error.
    pub(crate) answer: Result<Vec<Value>, String>,
    /// Records in the log.
    pub(crate) records: Vec<Value>,
    pub(crate) requests: Vec<SeenRequest>,
    pub(crate) alive_before: bool,
    pub(crate) alive: bool,
    pub(crate) other_keys: usize,
    /// Time between the answer and the deadline.
    pub(crate) left: Duration,
    pub(crate) took: Duration,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// Returns timeouts for a test. They are those of production in a smaller unit.
pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(400),
        attempt: Duration::from_millis(500),
        call: Duration::from_millis(2_600),
        initial_backoff: Duration::from_millis(4),
        max_backoff: Duration::from_millis(40),
        initial_pause: Duration::from_millis(10),
        max_pause: Duration::from_millis(100),
        verify_for: Duration::from_secs(1),
        ..Timeouts::default()
    }
}

impl Scene {
    pub(crate) async fn new(route: Route, settings: Settings, timeouts: Timeouts) -> Self {
        let settings = Settings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..settings };
        let simulator = Simulator::start_with(settings).await.unwrap();
        let home = if route == Route::Member { MEMBER } else { ACCOUNT };
        simulator.role(Role::new(MEMBER, ROLE)).unwrap();
        let [(_, sibling), (elsewhere, other)] = OTHERS;
        simulator.seed(Seed::bucket(REGION, BUCKET).account(home).key(KEY).key(sibling)).unwrap();
        simulator.seed(Seed::bucket("eu-west-1", elsewhere).account(home).key(other)).unwrap();
        if route == Route::NamedWrong {
            simulator.seed(Seed::bucket(REGION, "empty").account(home)).unwrap();
        }
        let endpoint = simulator.endpoint();
        let variables = [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCOUNT),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_SESSION_TOKEN", "simulated-token"),
            ("AWS_ENDPOINT_URL_LIGHTSAIL", &endpoint),
            ("AWS_ENDPOINT_URL_STS", &endpoint),
            ("SEARCH_REGIONS", &format!("eu-west-1,{REGION}")),
            ("MEMBER_ROLE_NAME", ROLE),
            ("ALLOWED_ACCOUNTS", MEMBER),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config { timeouts, ..Config::read(variables).unwrap() };
        let log = Log::default();
        Self { simulator, route, responder: Responder::new(&config, Audit::new(log.clone())), log }
    }

    pub(crate) fn script(&self, script: Script) {
        self.simulator.script(script).unwrap();
    }

    /// Delivers the alert once with a deadline in `time`.
    pub(crate) async fn deliver(&self, time: Duration) -> Delivery {
        let event = match self.route {
            Route::Named => json!({"accessKeyId": KEY, "bucketName": BUCKET, "region": REGION, "accountId": ACCOUNT}),
            Route::NamedWrong => json!({"accessKeyId": KEY, "bucketName": "empty", "accountId": ACCOUNT}),
            Route::Searched => json!({"accessKeyId": KEY, "accountId": ACCOUNT}),
            Route::Member => json!({"accessKeyId": KEY, "bucketName": BUCKET, "accountId": MEMBER}),
        };
        let alive_before = self.alive();
        let (earlier_records, earlier_requests) = (self.log.records().len(), self.simulator.requests());
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + time;
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap();
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:responder");
        let started = Instant::now();
        let invocation = self.responder.invocation("invocation-1", &arn, deadline_ms);
        let result = self.responder.respond(&event.to_string(), invocation).await;
        let took = started.elapsed();
        let home = if self.route == Route::Member { MEMBER } else { ACCOUNT };
        let exists = |(bucket, key): &(&str, &str)| {
            let keys = ["eu-west-1", REGION].map(|region| self.simulator.keys(home, region, bucket));
            keys.into_iter().flatten().flatten().any(|found| found == *key)
        };
        Delivery {
            route: self.route,
            is_first: earlier_records == 0,
            lingers: earlier_requests.iter().any(|seen| seen.fault.as_deref() == Some("still_listed")),
            error_type: result.as_ref().err().map(|error| error.error_type),
            answer: match result {
                Ok(response) => {
                    let mut response = serde_json::to_value(response).unwrap();
                    Ok(serde_json::from_value(response["records"].take()).unwrap())
                }
                Err(error) => Err(error.message),
            },
            records: self.log.records().split_off(earlier_records),
            requests: self.simulator.requests().split_off(earlier_requests.len()),
            alive_before,
            alive: self.alive(),
            other_keys: OTHERS.iter().filter(|other| exists(other)).count(),
            left: time.saturating_sub(took),
            took,
        }
    }

    fn alive(&self) -> bool {
        let home = if self.route == Route::Member { MEMBER } else { ACCOUNT };
        self.simulator.keys(home, REGION, BUCKET).unwrap().iter().any(|key| key == KEY)
    }
}

impl Delivery {
    /// Returns the record, or `Null` if there is none.
    pub(crate) fn record(&self) -> &Value {
        self.records.first().unwrap_or(&Value::Null)
    }

    pub(crate) fn outcome(&self) -> &str {
        self.record()["status_code"].as_str().unwrap_or("none")
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.requests.iter().filter(|seen| seen.operation == operation).count()
    }
}

impl Log {
    fn records(&self) -> Vec<Value> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()["audit"].take()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
