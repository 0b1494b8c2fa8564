//! Two accounts with compromised keys and keys to leave alone, the function, and the network between them.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lightsail_key_responder::audit::Audit;
use lightsail_key_responder::aws::Settings as AwsSettings;
use lightsail_key_responder::clock::Clock;
use lightsail_key_responder::config::Config;
use lightsail_key_responder::respond::Responder;
use lightsail_simulator::{Dialer, Role, Script, Seed, SeenRequest, Settings, Simulator, clock};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::network::Network;
use crate::{ACCOUNT, MEMBER, OTHER_REGION, REGION, start};

/// Exposed keys: the first is on [`BUCKET`], the second in another Region.
pub const KEYS: [&str; 2] = ["AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7SECONDK"];
/// Bucket of the first key.
pub const BUCKET: &str = "photos";
/// Bucket of the second key, and of a key to leave alone.
const OTHER_BUCKET: &str = "backups";
/// Keys that no alert names.
const OTHERS: [(&str, &str); 2] = [(BUCKET, "AKIAI44QH8DHBEXAMPLE"), (OTHER_BUCKET, "AKIAQQQQQQQQQQQQQQQQ")];
const SECRET: &str = "simulated-secret";
const ROLE: &str = "lightsail-key-responder";

/// Contents of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Key and bucket.
    Named,
    /// Key and another existing bucket.
    NamedWrong,
    /// Key only.
    Searched,
    /// Key, bucket and member account.
    Member,
    /// Two keys, without bucket or owner.
    Several,
}

/// Simulator, accounts and function.
pub struct World {
    /// The simulator.
    pub simulator: Simulator,
    /// Wall clock.
    pub clock: Clock,
    /// The first process of the function.
    pub process: Process,
    dialer: Dialer,
    config: Config,
    route: Route,
    log: Log,
    started: Instant,
}

/// One process of the function, with its connections.
pub struct Process {
    /// The network between this process and the simulator.
    pub network: Network,
    responder: Responder,
}

/// One exposed key, before and after a delivery.
#[derive(Clone, Debug)]
pub struct KeyState {
    /// ID of the key.
    pub id: &'static str,
    /// Whether it existed before the delivery.
    pub alive_before: bool,
    /// Whether it exists after it.
    pub alive: bool,
}

/// One delivery of the alert, and what came of it.
#[derive(Debug)]
pub struct Delivery {
    /// Route of the alert.
    pub route: Route,
    /// Whether it is the first of its incident.
    pub is_first: bool,
    /// Whether another delivery ran at the same time.
    pub overlaps: bool,
    /// Whether the network failed before or during it.
    pub network_failed: bool,
    /// Whether lists are stale since an earlier delivery.
    pub lingers: bool,
    /// `errorType` for Lambda. None for success.
    pub error_type: Option<&'static str>,
    /// Records in the response, or the response to an SQS batch, or the message of the error.
    pub answer: Result<Vec<Value>, String>,
    /// Records in the log.
    pub records: Vec<Value>,
    /// Requests that arrived during it.
    pub requests: Vec<SeenRequest>,
    /// The exposed keys.
    pub keys: Vec<KeyState>,
    /// Number of keys to leave alone that still exist.
    pub other_keys: usize,
    /// Start, since the start of the simulation.
    pub at: Duration,
    /// Time that it took.
    pub took: Duration,
    /// Timeout of the function.
    pub timeout: Duration,
    /// Time between the answer and the deadline.
    pub left: Duration,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl World {
    /// Builds the world of an alert by `route`. The function searches two Regions.
    pub fn new(route: Route, settings: Settings) -> Self {
        Self::with(route, settings, &format!("{OTHER_REGION},{REGION}"))
    }

    /// Builds the world of an alert by `route`, with this value of `SEARCH_REGIONS`. Empty means all Regions.
    pub fn with(route: Route, settings: Settings, search_regions: &str) -> Self {
        let clock = Clock::simulated(start());
        let wall = clock.clone();
        clock::simulate(move || wall.now());
        let settings = Settings { secret_access_key: Some(SECRET.to_owned()), ..settings };
        let (simulator, dialer) = Simulator::start_in_memory(settings).unwrap();
        let home = home(route);
        simulator.role(Role::new(MEMBER, ROLE)).unwrap();
        let [(_, sibling), (_, other)] = OTHERS;
        simulator.seed(Seed::bucket(REGION, BUCKET).account(home).key(KEYS[0]).key(sibling)).unwrap();
        let backups = Seed::bucket(OTHER_REGION, OTHER_BUCKET).account(home).key(other);
        simulator.seed(if route == Route::Several { backups.key(KEYS[1]) } else { backups }).unwrap();
        if route == Route::NamedWrong {
            simulator.seed(Seed::bucket(REGION, "empty").account(home)).unwrap();
        }
        let variables = [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCOUNT),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", "simulated-token"),
            ("AWS_ENDPOINT_URL_LIGHTSAIL", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
            ("SEARCH_REGIONS", search_regions),
            ("MEMBER_ROLE_NAME", ROLE),
            ("ALLOWED_ACCOUNTS", MEMBER),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::read(variables).unwrap();
        let log = Log::default();
        let process = Process::start(&config, dialer.clone(), &clock, &log);
        Self { simulator, clock, process, dialer, config, route, log, started: Instant::now() }
    }

    /// Starts another process of the function.
    pub fn start_process(&self) -> Process {
        Process::start(&self.config, self.dialer.clone(), &self.clock, &self.log)
    }

    /// Adds a fault of a call.
    pub fn script(&self, script: Script) {
        self.simulator.script(script).unwrap();
    }

    /// Delivers the alert once, as invocation `number`, to a function with this timeout.
    pub async fn deliver(&self, number: usize, timeout: Duration) -> Delivery {
        self.deliver_to(&self.process, &event(self.route), number, timeout).await
    }

    /// Delivers an event to a process.
    pub async fn deliver_to(&self, process: &Process, event: &Value, number: usize, timeout: Duration) -> Delivery {
        let before = self.keys();
        let earlier = self.simulator.requests();
        let (at, started) = (self.started.elapsed(), Instant::now());
        let deadline = (self.clock.now() + timeout).timestamp_millis().unsigned_abs();
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:responder");
        let id = format!("invocation-{number}");
        let invocation = process.responder.invocation(&id, &arn, deadline);
        let result = process.responder.respond(&event.to_string(), invocation).await;
        let took = started.elapsed();
        Delivery {
            route: self.route,
            is_first: number == 0,
            overlaps: false,
            network_failed: false,
            lingers: earlier.iter().any(|seen| seen.fault.as_deref() == Some("still_listed")),
            error_type: result.as_ref().err().map(|error| error.error_type),
            answer: match result {
                // An SQS batch is answered by the items that failed.
                Ok(response) => Ok(match serde_json::to_value(response).unwrap() {
                    Value::Object(response) if response.contains_key("batchItemFailures") => vec![json!(response)],
                    mut response => serde_json::from_value(response["records"].take()).unwrap(),
                }),
                Err(error) => Err(error.message),
            },
            records: self.log.records_of(&id),
            requests: self.simulator.requests().split_off(earlier.len()),
            keys: before
                .into_iter()
                .zip(self.keys())
                .map(|(before, after)| KeyState { alive: after.1, id: before.0, alive_before: before.1 })
                .collect(),
            other_keys: OTHERS.iter().filter(|(bucket, key)| self.exists(bucket, key)).count(),
            at,
            took,
            timeout,
            left: timeout.saturating_sub(took),
        }
    }

    /// Returns the exposed keys, and whether each exists.
    fn keys(&self) -> Vec<(&'static str, bool)> {
        let exposed = if self.route == Route::Several { &KEYS[..] } else { &KEYS[..1] };
        let places = [BUCKET, OTHER_BUCKET];
        exposed.iter().zip(places).map(|(key, bucket)| (*key, self.exists(bucket, key))).collect()
    }

    fn exists(&self, bucket: &str, key: &str) -> bool {
        let keys = [REGION, OTHER_REGION].map(|region| self.simulator.keys(home(self.route), region, bucket));
        keys.into_iter().flatten().flatten().any(|found| found == key)
    }
}

impl Process {
    fn start(config: &Config, dialer: Dialer, clock: &Clock, log: &Log) -> Self {
        let network = Network::new(move |_| dialer.dial(), config.timeouts.connect);
        let aws = AwsSettings::with(config, network.http_client(), clock.clone());
        Self { responder: Responder::with(config, Audit::new(log.clone()), &aws), network }
    }
}

impl Delivery {
    /// Returns the outcome of the first key.
    pub fn outcome(&self) -> &str {
        self.record(KEYS[0])["status_code"].as_str().unwrap_or("none")
    }

    /// Returns the record of a key. `Null` if there is none.
    pub fn record(&self, key: &str) -> &Value {
        let of_key = |record: &&Value| record["unmapped"]["access_key"]["id"] == key;
        self.records.iter().find(of_key).unwrap_or(&Value::Null)
    }

    /// Returns everything that can be observed, one line per request and record.
    pub fn describe(&self) -> String {
        let Self { at, took, error_type, .. } = self;
        let mut text = format!("delivery at {at:?}, took {took:?}, {}\n", error_type.unwrap_or("success"));
        for request in &self.requests {
            let _ = writeln!(text, "  {}", line(request));
        }
        for record in &self.records {
            let _ = writeln!(text, "  {record}");
        }
        text
    }

    /// Returns the number of requests for an operation.
    pub fn count(&self, operation: &str) -> usize {
        self.requests.iter().filter(|seen| seen.operation == operation).count()
    }
}

fn line(request: &SeenRequest) -> String {
    let SeenRequest { at, at_ms, connection, operation, account, region, bucket, access_key_id, status, fault, .. } =
        request;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let [bucket, key, fault] = [bucket, access_key_id, fault].map(text);
    format!("{at} {at_ms:>7} ms #{connection} {operation} {account} {region} {bucket} {key} {status:?} {fault}")
}

fn home(route: Route) -> &'static str {
    if route == Route::Member { MEMBER } else { ACCOUNT }
}

/// Returns the event of a route.
pub fn event(route: Route) -> Value {
    let key = KEYS[0];
    match route {
        Route::Named => json!({"accessKeyId": key, "bucketName": BUCKET, "region": REGION, "accountId": ACCOUNT}),
        Route::NamedWrong => json!({"accessKeyId": key, "bucketName": "empty", "accountId": ACCOUNT}),
        Route::Searched => json!({"accessKeyId": key, "accountId": ACCOUNT}),
        Route::Member => json!({"accessKeyId": key, "bucketName": BUCKET, "accountId": MEMBER}),
        Route::Several => json!({"accessKeyId": KEYS}),
    }
}

impl Log {
    /// Returns the records of one invocation.
    fn records_of(&self, id: &str) -> Vec<Value> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let records = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()["audit"].take());
        records.filter(|record| record["unmapped"]["invocation"]["request_id"] == id).collect()
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
