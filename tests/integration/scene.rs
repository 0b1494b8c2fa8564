//! Test setup: a simulator, a responder that calls it, and the log that receives the records, in simulated time.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lightsail_key_responder::audit::Audit;
use lightsail_key_responder::aws::Settings as AwsSettings;
use lightsail_key_responder::clock::Clock;
use lightsail_key_responder::config::Config;
use lightsail_key_responder::outcome::InvocationError;
use lightsail_key_responder::respond::{Responder, Response};
use lightsail_simulator::{Dialer, Fault, Role, Script, Seed, SeenRequest, Settings, Simulator, clock};
use responder_simulation::network::Network;
use responder_simulation::start;
use serde_json::{Value, json};

use crate::bus;

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
pub(crate) const ACCOUNT: &str = "012345678912";
/// Member account with a role, in the allow list of [`Scene::with_members`].
pub(crate) const MEMBER: &str = "111122223333";
/// Member account without a role, in the same allow list.
pub(crate) const OTHER_MEMBER: &str = "444455556666";
/// Account that is not in the allow list.
pub(crate) const FOREIGN_ACCOUNT: &str = "777788889999";
pub(crate) const ROLE: &str = "lightsail-key-responder";
pub(crate) const EXTERNAL_ID: &str = "security:responder";
const SECRET: &str = "simulated-secret";

pub(crate) struct Scene {
    pub(crate) simulator: Simulator,
    pub(crate) responder: Responder,
    /// None if the simulator cannot be reached.
    dialer: Option<Dialer>,
    log: Log,
}

thread_local! {
    /// Wall clock of a test, which all of its scenes share. It starts just after the times in `events`.
    static CLOCK: Clock = Clock::simulated(start() + Duration::from_secs(12));
}

/// Result of one event.
pub(crate) struct Answer {
    /// Only record of the event.
    pub(crate) record: Value,
    /// Result that Lambda gets.
    pub(crate) result: Result<Response, InvocationError>,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Scene {
    /// Starts an empty account and a function in `us-east-1`.
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), &[]).await
    }

    /// Replaces the function by one whose Lightsail address refuses connections.
    pub(crate) fn unreachable(self) -> Self {
        let (responder, log) = responder(None, &[]);
        Self { responder, log, dialer: None, ..self }
    }

    /// Replaces the function by a new one with these variables on the same account.
    pub(crate) fn with_new_function(self, variables: &[(&str, &str)]) -> Self {
        let (responder, log) = responder(self.dialer.clone(), variables);
        Self { responder, log, ..self }
    }

    /// Starts the scene of [`Self::new`] with these simulator settings and more variables for the function.
    pub(crate) async fn with(settings: Settings, variables: &[(&str, &str)]) -> Self {
        // With a secret, the simulator verifies each signature.
        let settings = Settings { secret_access_key: Some(SECRET.to_owned()), ..settings };
        clock::simulate(|| CLOCK.with(Clock::now));
        let (simulator, dialer) = Simulator::start_in_memory(settings).unwrap();
        let (responder, log) = responder(Some(dialer.clone()), variables);
        Self { simulator, responder, dialer: Some(dialer), log }
    }

    /// Starts the scene of [`Self::new`] with a function that may act in two member accounts. Only the first one has
    /// the role.
    pub(crate) async fn with_members() -> Self {
        let variables = [
            ("MEMBER_ROLE_NAME", ROLE),
            ("MEMBER_EXTERNAL_ID", EXTERNAL_ID),
            ("ALLOWED_ACCOUNTS", &format!("{MEMBER},{ACCOUNT},{OTHER_MEMBER}")),
        ];
        let scene = Self::with(Settings::default(), &variables).await;
        scene.simulator.role(Role::new(MEMBER, ROLE).external_id(EXTERNAL_ID)).unwrap();
        scene
    }

    /// Starts the scene of [`Self::new`] with the key and its sibling on bucket `photos` in `us-east-1`.
    pub(crate) async fn with_key_on_photos() -> Self {
        Self::new().await.seeded("us-east-1", "photos", &[KEY, SIBLING])
    }

    /// Adds a bucket with keys in another account, in `eu-west-1`.
    pub(crate) fn seeded_in(self, account: &str, bucket: &str, keys: &[&str]) -> Self {
        let seed = Seed::bucket("eu-west-1", bucket).account(account);
        self.simulator.seed(keys.iter().fold(seed, |seed, key| seed.key(*key))).unwrap();
        self
    }

    /// Adds a bucket with keys in the function's own account.
    pub(crate) fn seeded(self, region: &str, bucket: &str, keys: &[&str]) -> Self {
        let seed = keys.iter().fold(Seed::bucket(region, bucket), |seed, key| seed.key(*key));
        self.simulator.seed(seed).unwrap();
        self
    }

    pub(crate) fn scripted(self, script: Script) -> Self {
        self.simulator.script(script).unwrap();
        self
    }

    /// Sends `event` with a deadline in one minute.
    pub(crate) async fn respond(&self, event: &Value) -> Answer {
        self.respond_within(event, Duration::from_secs(60)).await
    }

    /// Sends `event` with a deadline in `time` and checks the rules for all events. There is one record, and the log
    /// and the response agree on it. The result is an error exactly if the outcome is an error.
    pub(crate) async fn respond_within(&self, event: &Value, time: Duration) -> Answer {
        self.respond_text_within(&event.to_string(), time).await
    }

    pub(crate) async fn respond_text_within(&self, event: &str, time: Duration) -> Answer {
        let (lines, result) = self.deliver_within(event, time).await;
        assert_eq!(lines.len(), 1, "one record for one event: {lines:#?}");
        let record = lines[0]["audit"].clone();
        let level = lines[0]["level"].as_str().unwrap();
        match &result {
            Ok(response) => {
                assert_eq!(serde_json::to_value(response).unwrap(), json!({"records": [record]}));
                assert_eq!(level, "WARN");
            }
            Err(error) => {
                assert_eq!(error.message, record["message"].as_str().unwrap());
                assert_eq!(level, "ERROR");
            }
        }
        Answer { record, result }
    }

    /// Sends an event that may have several alerts. Returns the log lines and the result that Lambda gets.
    pub(crate) async fn deliver(&self, event: &Value) -> (Vec<Value>, Result<Response, InvocationError>) {
        self.deliver_within(&event.to_string(), Duration::from_secs(60)).await
    }

    pub(crate) async fn deliver_within(
        &self,
        event: &str,
        time: Duration,
    ) -> (Vec<Value>, Result<Response, InvocationError>) {
        let arn = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:responder");
        let deadline = (CLOCK.with(Clock::now) + time).timestamp_millis().unsigned_abs();
        let earlier = self.log.lines().len();
        let result = self.responder.respond(event, self.responder.invocation("invocation-1", &arn, deadline)).await;
        let lines = self.log.lines().split_off(earlier);
        lines.iter().for_each(assert_metrics);
        (lines, result)
    }

    /// Returns the outcome of `event` from the response, because concurrent invocations share the log.
    pub(crate) async fn concurrent_outcome(&self, event: &Value) -> String {
        let invocation = self.responder.invocation("invocation-2", "arn", u64::MAX / 2);
        let response = self.responder.respond(&event.to_string(), invocation).await.unwrap();
        serde_json::to_value(response).unwrap()["records"][0]["status_code"].as_str().unwrap().to_owned()
    }

    /// Returns the operations that the simulator received, in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.simulator.requests().into_iter().map(|seen| seen.operation).collect()
    }

    pub(crate) fn first_request(&self) -> SeenRequest {
        self.simulator.requests().swap_remove(0)
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.operations().iter().filter(|seen| *seen == operation).count()
    }

    /// Returns the keys that the simulator has on a bucket.
    pub(crate) fn keys(&self, region: &str, bucket: &str) -> Vec<String> {
        self.simulator.keys(ACCOUNT, region, bucket).unwrap()
    }
}

impl Answer {
    pub(crate) fn outcome(&self) -> &str {
        self.record["status_code"].as_str().unwrap()
    }

    pub(crate) fn error_type(&self) -> &str {
        self.result.as_ref().unwrap_err().error_type
    }

    pub(crate) fn message(&self) -> &str {
        self.record["message"].as_str().unwrap()
    }

    pub(crate) fn unmapped(&self, pointer: &str) -> &Value {
        self.record["unmapped"].pointer(pointer).unwrap()
    }
}

/// Asserts the rules without which CloudWatch creates no metric: each name in a directive is a field at the root, and
/// each number at the root is in a directive (CloudWatch user guide, "Specification: Embedded metric format").
fn assert_metrics(line: &Value) {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert!(line["_aws"]["Timestamp"].is_i64() && !directives.is_empty(), "{line}");
    let mut measured = BTreeSet::new();
    for directive in directives {
        assert_eq!(directive["Namespace"], "LightsailKeyResponder");
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!(!metrics.is_empty(), "{line}");
        measured.extend(metrics.iter().map(|metric| metric["Name"].as_str().unwrap()));
        let mut dimensions = directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap());
        assert!(dimensions.all(|name| line[name.as_str().unwrap()].is_string()), "{line}");
    }
    let fields = line.as_object().unwrap().iter();
    let numbers: BTreeSet<_> = fields.filter(|(_, value)| value.is_u64()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(numbers, measured, "{line}");
    let records = u64::from(line["audit"].is_object());
    assert_eq!((line["Records"].as_u64().unwrap_or(0), &line["FunctionName"]), (records, &json!("responder")));
    assert_eq!(line["Outcome"], line["audit"]["status_code"]);
}

/// Creates a responder that reaches the simulator by `dialer`, and its log.
fn responder(dialer: Option<Dialer>, variables: &[(&str, &str)]) -> (Responder, Log) {
    let endpoint = format!("http://127.0.0.1:{SIMULATOR_PORT}");
    let endpoint = endpoint.as_str();
    let lambda = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", ACCOUNT),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "simulated-token"),
        ("AWS_ENDPOINT_URL_LIGHTSAIL", endpoint),
        ("AWS_ENDPOINT_URL_STS", endpoint),
    ];
    let variables = lambda.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let log = Log::default();
    let config = Config::read(variables).unwrap();
    let dial = move |host: &http::Uri| match (host.port_u16(), &dialer) {
        (Some(SIMULATOR_PORT), Some(dialer)) => dialer.dial(),
        (Some(port), _) => bus::dial(port),
        (None, _) => Err(io::ErrorKind::ConnectionRefused.into()),
    };
    let network = Network::new(dial);
    let aws = AwsSettings::with(&config, network, CLOCK.with(Clone::clone));
    (Responder::with(&config, Audit::new(log.clone()), &aws), log)
}

/// Port of the simulator in memory.
const SIMULATOR_PORT: u16 = 1;

/// Returns a manual event that names bucket `photos` in `us-east-1`.
pub(crate) fn manual_event() -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": "us-east-1"})
}

/// Returns a manual event that names only the key.
pub(crate) fn key_only() -> Value {
    json!({"accessKeyId": KEY})
}

/// Reads a file in `events/`.
pub(crate) fn event(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Log {
    fn lines(&self) -> Vec<Value> {
        let text = self.0.lock().unwrap();
        text.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A delete that takes so long that the read beside it sees the key.
pub(crate) fn seen_first() -> Script {
    Script::new("DeleteBucketAccessKey", Fault::Latency { ms: 200 })
}
