//! Two accounts with compromised keys and keys to leave alone, the function, and the network between them.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lightsail_key_responder::audit::Audit;
use lightsail_key_responder::aws::Settings as AwsSettings;
use lightsail_key_responder::clock::Clock;
use lightsail_key_responder::config::Config;
use lightsail_key_responder::policy::PROTECT_TAG;
use lightsail_key_responder::respond::Responder;
use lightsail_simulator::{Dialect, Dialer, Role, Script, Seed, SeenRequest, Settings, Simulator, Tag, clock};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::alerts::{Alert, Named};
use crate::network::Network;
use crate::routes::Place;
use crate::weather::Regions;
use crate::{ACCOUNT, MEMBER, REGION, start};

pub use crate::routes::{BUCKET, KEYS, Route};

const SECRET: &str = "simulated-secret";
const ROLE: &str = "lightsail-key-responder";

/// Simulator, accounts and function.
pub struct World {
    /// The simulator.
    pub simulator: Simulator,
    /// Wall clock.
    pub clock: Clock,
    /// The first process of the function.
    pub process: Process,
    /// The Regions, as the network reaches them.
    pub regions: Regions,
    dialect: Dialect,
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
    /// Its bucket, with account and Region.
    pub place: Place,
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
    /// Delivered part of the alert.
    pub alert: Alert,
    /// Keys that are to have a record.
    pub named: Vec<Named>,
    /// Behaviour of AWS where it has not published any.
    pub dialect: Dialect,
    /// Whether it is the first of its incident.
    pub is_first: bool,
    /// Whether another delivery ran at the same time.
    pub overlaps: bool,
    /// Whether the network failed before or during it.
    pub network_failed: bool,
    /// Writes to connections from before a freeze.
    pub reuses: u64,
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
    /// Operations of the requests to Lightsail that were sent during it, in this order. Some may arrive late or never.
    pub sent: Vec<String>,
    /// The exposed keys.
    pub keys: Vec<KeyState>,
    /// Keys that no alert names, of both accounts, that do not exist any more.
    pub others_deleted: Vec<&'static str>,
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
    /// Builds the world of an alert by `route`. The function searches the Regions of the route.
    pub fn new(route: Route, settings: Settings) -> Self {
        Self::with(route, settings, &route.search_regions())
    }

    /// Builds the world of [`Self::new`] with weather.
    pub fn in_weather(route: Route, settings: Settings, regions: Regions) -> Self {
        Self::start(route, settings, &route.search_regions(), regions)
    }

    /// Builds the world of an alert by `route`, with this value of `SEARCH_REGIONS`. Empty means all Regions.
    pub fn with(route: Route, settings: Settings, search_regions: &str) -> Self {
        Self::start(route, settings, search_regions, Regions::default())
    }

    fn start(route: Route, settings: Settings, search_regions: &str, regions: Regions) -> Self {
        let clock = Clock::simulated(start());
        let wall = clock.clone();
        clock::simulate(move || wall.now());
        let dialect = settings.dialect;
        // The role's policy in the template denies the delete from a bucket with this tag.
        let (key, value) = PROTECT_TAG;
        let tag = Tag { key: key.to_owned(), value: value.to_owned() };
        let settings =
            Settings { secret_access_key: Some(SECRET.to_owned()), denied_tag: Some(tag.clone()), ..settings };
        let (simulator, dialer) = Simulator::start_in_memory(settings).unwrap();
        simulator.role(Role::new(MEMBER, ROLE)).unwrap();
        for Place { account, region, bucket, exposed, other, is_protected } in route.places() {
            let seed = Seed::bucket(region, bucket).account(account);
            let seed = if is_protected { seed.tag(&tag.key, &tag.value) } else { seed };
            let keys = exposed.into_iter().chain(other);
            simulator.seed(keys.fold(seed, |seed, key| seed.key(key))).unwrap();
        }
        let variables = [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCOUNT),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", "simulated-token"),
            ("SEARCH_REGIONS", search_regions),
            ("MEMBER_ROLE_NAME", ROLE),
            ("ALLOWED_ACCOUNTS", MEMBER),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::read(variables).unwrap();
        let log = Log::default();
        let process = Process::start(&config, dialer.clone(), &clock, &log, &regions);
        Self { simulator, clock, process, dialect, regions, dialer, config, route, log, started: Instant::now() }
    }

    /// Starts another process of the function.
    pub fn start_process(&self) -> Process {
        Process::start(&self.config, self.dialer.clone(), &self.clock, &self.log, &self.regions)
    }

    /// Adds a fault of a call.
    pub fn script(&self, script: Script) {
        self.simulator.script(script).unwrap();
    }

    /// Delivers the alert once, as invocation `number`, to a function with this timeout.
    pub async fn deliver(&self, number: usize, timeout: Duration) -> Delivery {
        self.deliver_alert(&self.process, &self.route.alert(), number, timeout).await
    }

    /// Delivers an alert, or a part of it, to a process.
    pub async fn deliver_alert(&self, process: &Process, alert: &Alert, number: usize, timeout: Duration) -> Delivery {
        let delivery = self.deliver_to(process, &alert.event(), number, timeout).await;
        Delivery { named: alert.named(), alert: alert.clone(), ..delivery }
    }

    /// Delivers an event to a process.
    pub async fn deliver_to(&self, process: &Process, event: &Value, number: usize, timeout: Duration) -> Delivery {
        let before = self.keys();
        let (failures, reuses) = (self.regions.failures(), self.regions.reuses());
        let sent = self.regions.sent_after(0).len();
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
            alert: self.route.alert(),
            named: self.route.alert().named(),
            dialect: self.dialect,
            is_first: number == 0,
            overlaps: false,
            network_failed: self.regions.failures() > failures,
            reuses: self.regions.reuses() - reuses,
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
            sent: self.regions.sent_after(sent),
            keys: before
                .into_iter()
                .map(|(id, place, alive_before)| KeyState { id, alive_before, alive: self.exists(&place, id), place })
                .collect(),
            others_deleted: self.others_deleted(),
            at,
            took,
            timeout,
            left: timeout.saturating_sub(took),
        }
    }

    /// Returns the exposed keys, and whether each exists.
    fn keys(&self) -> Vec<(&'static str, Place, bool)> {
        let key = |place: Place| {
            let key = place.exposed?;
            Some((key, place.clone(), self.exists(&place, key)))
        };
        self.route.places().into_iter().filter_map(key).collect()
    }

    fn others_deleted(&self) -> Vec<&'static str> {
        let places = self.route.places().into_iter();
        let others = places.filter_map(|place| Some((place.other?, place)));
        others.filter(|(key, place)| !self.exists(place, key)).map(|(key, _)| key).collect()
    }

    fn exists(&self, place: &Place, key: &str) -> bool {
        let keys = self.simulator.keys(place.account, place.region, place.bucket);
        keys.into_iter().flatten().any(|found| found == key)
    }
}

impl Process {
    fn start(config: &Config, dialer: Dialer, clock: &Clock, log: &Log, regions: &Regions) -> Self {
        let network = Network::with_regions(move |_| dialer.dial(), regions.clone());
        let aws = AwsSettings::with(config, network.clone(), clock.clone());
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

    /// Returns the record of a named key. `Null` if there is none.
    pub fn record_of(&self, named: &Named) -> &Value {
        let of_key = |record: &&Value| {
            let unmapped = &record["unmapped"];
            let message = unmapped["invocation"]["message_id"].as_str();
            unmapped["access_key"]["id"] == named.key && message == named.message.as_deref()
        };
        self.records.iter().find(of_key).unwrap_or(&Value::Null)
    }

    /// Returns the IDs of the messages that SQS delivers again. None if the answer is not that to a batch.
    pub fn failed_messages(&self) -> Option<Vec<String>> {
        let [answer] = self.answer.as_ref().ok()?.as_slice() else { return None };
        let items = answer["batchItemFailures"].as_array()?.iter();
        Some(items.map(|item| item["itemIdentifier"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Returns whether nothing is delivered again.
    pub fn succeeded(&self) -> bool {
        self.answer.is_ok() && self.failed_messages().is_none_or(|failed| failed.is_empty())
    }

    /// Returns everything that can be observed, one line per request and record.
    pub fn describe(&self) -> String {
        let Self { at, took, error_type, .. } = self;
        let mut text = format!("delivery at {at:?}, took {took:?}, {}\n", error_type.unwrap_or("success"));
        for line in self.request_lines() {
            let _ = writeln!(text, "  {line}");
        }
        for record in &self.records {
            let _ = writeln!(text, "  {record}");
        }
        text
    }

    /// Returns one line per request.
    pub fn request_lines(&self) -> Vec<String> {
        self.requests.iter().map(line).collect()
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

/// Returns the event of a route.
pub fn event(route: Route) -> Value {
    route.alert().event()
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
